"""The pages of the station: /metrics for Prometheus, /healthz and /readyz for probes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from edge_runtime.supervision.metrics import CONTENT_TYPE, metrics_text
from edge_runtime.supervision.page_maker import Page
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import Health
from latentline.base.version import software_version


def health_pages(
    station: str, health: Health, troubled: Callable[[], frozenset[str]], snapshot: Callable[[], Snapshot]
) -> Mapping[str, Callable[[], Page]]:
    """Pages by path.

    /healthz  200 as long as a restart would not help: starting, online, degraded; 503: stopped, or one might help
    /readyz   200 while frames are inspected: online or degraded, and nothing is troubled; else 503
    /metrics  Prometheus text
    troubled  returns the codes of stages that hang or always fail, so that a restart might help
    """

    def page(ok: bool) -> Page:
        body = {"station": station, "state": health.state, "faults": health.faults}
        return Page(200 if ok else 503, "application/json", json.dumps(body).encode() + b"\n")

    software = software_version()

    def metrics() -> Page:
        return Page(200, CONTENT_TYPE, metrics_text(snapshot(), software))

    return {
        "/healthz": lambda: page(health.state != "stopped" and not troubled()),
        "/readyz": lambda: page(health.state in ("online", "degraded") and not troubled()),
        "/metrics": metrics,
    }

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.supervision.metrics import metrics_text
from tests.edge_runtime.supervision.snapshots import snapshot
from tests.paths import ROOT

_Sample = tuple[str, frozenset[tuple[str, str]]]


def _samples(text: bytes) -> dict[_Sample, float]:
    found = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
    samples = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}
    assert len(samples) == len(found), "a sample occurs twice"
    return samples


def _value(samples: dict[_Sample, float], metric: str, /, **labels: str) -> float:
    return samples[f"latentline_{metric}", frozenset(labels.items())]


def test_each_number_arrives_under_its_name() -> None:
    """Prometheus's parser reads the snapshot's numbers under the metrics' names."""
    samples = _samples(metrics_text(snapshot(), "0.1.0"))
    about = {"version": "0.1.0", "model": "demo", "model_sha256": "ab" * 32, "backend": "openvino"}
    assert _value(samples, "info", **about) == 1
    states = {state: _value(samples, "state", state=state) for state in ("starting", "online", "degraded", "stopped")}
    assert states == {"starting": 0, "online": 0, "degraded": 1, "stopped": 0}
    assert _value(samples, "fault", code="broker") == 1
    verdicts = {verdict: _value(samples, "frames_total", verdict=verdict) for verdict in ("normal", "abnormal")}
    assert verdicts == {"normal": 32, "abnormal": 6}
    assert _value(samples, "frames_total", verdict="unusable") == 8
    assert _value(samples, "frames_total", verdict="failed") == 9
    assert _value(samples, "inspection_seconds", quantile="0.99") == 0.03
    assert _value(samples, "camera_state", camera="side", state="stalled") == 1
    assert _value(samples, "camera_dropped_frames_total", camera="top", cause="newer frame") == 5
    assert _value(samples, "camera_bad_frames_total", camera="top", cause="broken file") == 3
    assert _value(samples, "camera_frame_age_seconds", camera="top") == 0.25
    assert _value(samples, "camera_lateness_seconds", camera="top") == 1.5
    assert ("latentline_camera_lateness_seconds", frozenset({("camera", "side")})) not in samples
    assert ("latentline_camera_frame_age_seconds", frozenset({("camera", "side")})) not in samples
    numbers = {
        "events_total": 10,
        "events_lost_total": 11,
        "spool_waiting": 12,
        "spool_bytes": 13_000,
        "events_published_total": 16,
        "events_unheard_total": 17,
        "spool_damaged_total": 22,
        "dead_letters_total": 23,
        "connected": 1,
        "connections_total": 18,
        "threshold": 2.5,
        "uptime_seconds": 61.5,
    }
    assert {name: _value(samples, name) for name in numbers} == numbers
    assert _value(samples, "spool_dropped_total", cause="age") == 15
    assert _value(samples, "drift", name="alarm_rate_seen") == 0.05
    assert samples["process_open_fds", frozenset()] == 20


def test_odd_names_are_escaped() -> None:
    """A cause with quotes, a line break or a backslash is one label and does not break the page."""
    cause = 'a "b"\nc\\d'
    samples = _samples(metrics_text(snapshot(spool_dropped={cause: 1}), "0"))
    assert _value(samples, "spool_dropped_total", cause=cause) == 1


def test_page_lists_every_metric() -> None:
    """docs/operations.md lists exactly the metrics that exist."""
    families = text_string_to_metric_families(metrics_text(snapshot(), "0").decode())
    # The parser takes `_total` off the family of a counter; the samples have the full names.
    names = {sample.name for family in families for sample in family.samples}
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^\| `((?:latentline|process)_[a-z_]+)", page, re.MULTILINE)) == names

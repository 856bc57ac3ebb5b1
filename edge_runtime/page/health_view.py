"""The health view: what /readyz knows, and what fills up."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_runtime.page.context import PageContext
from edge_runtime.supervision.archive_numbers import ArchiveNumbers
from edge_runtime.supervision.snapshot import Snapshot


def health_routes(context: PageContext) -> list[Route]:
    """/health, and /health/part, which the browser asks for every two seconds."""

    async def health(request: Request) -> Response:
        return context.page("health", request, **_values(context))

    async def part(request: Request) -> Response:
        return context.page("health_part", request, **_values(context))

    return [Route("/health", health), Route("/health/part", part)]


def _values(context: PageContext) -> dict[str, Any]:
    station, newest = context.station, context.feed.state
    state, troubled = station.health.state, sorted(station.troubled())
    return {
        "state": state,
        "ready": state in ("online", "degraded") and not troubled,
        "troubled": troubled,
        "snapshot": None if newest is None else newest[1],
        "groups": {} if newest is None else _numbers(newest[1], station.archive_gib),
        "cameras": {} if newest is None else newest[1].cameras,
        "faults": station.faults.newest,
    }


def _numbers(snapshot: Snapshot, limit_gib: float | None) -> dict[str, dict[str, str]]:
    """Numbers by heading and name."""
    hours, minutes = divmod(int(snapshot.uptime_seconds) // 60, 60)
    return {
        "Station": {
            "running for": f"{hours} h {minutes} min",
            "frames inspected": f"{snapshot.inspected:,}",
            "abnormal": f"{snapshot.abnormal:,}",
            "unusable or failed": f"{snapshot.unusable + snapshot.failed:,}",
            "inspection, median and p99": f"{snapshot.inspect_ms_p50:.1f} and {snapshot.inspect_ms_p99:.1f} ms",
            "memory": f"{snapshot.process.rss_bytes / 2**20:,.0f} MiB",
        },
        "Events": {
            "broker": "connected" if snapshot.connected else "not connected",
            "written": f"{snapshot.events:,}",
            "confirmed": f"{snapshot.published:,}",
            "waiting in the spool": f"{snapshot.spool_waiting:,} ({snapshot.spool_bytes / 2**20:.1f} MiB)",
            "given up": f"{sum(snapshot.spool_dropped.values()) + snapshot.lost + snapshot.dead_letters:,}",
        },
        "Archive": _archive(snapshot.archive, limit_gib),
        "Drift": {name.replace("_", " "): f"{value:.4g}" for name, value in sorted(snapshot.drift.items())},
    }


def _archive(archive: ArchiveNumbers | None, limit_gib: float | None) -> dict[str, str]:
    if archive is None:
        return {}
    size = archive.size / 2**30
    full = "" if limit_gib is None else f" of {limit_gib:g} ({size / limit_gib:.0%})"
    return {
        "pictures": f"{archive.pictures:,}",
        "size": f"{size:.2f} GiB{full}",
        "written since the start": f"{archive.written:,}",
        "waiting to be written": f"{archive.waiting:,}",
        "not archived": ", ".join(f"{count:,} {cause}" for cause, count in archive.dropped.items() if count) or "none",
        "pruned": f"{archive.pruned:,}",
    }

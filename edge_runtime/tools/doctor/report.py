"""The doctor's report as text, and both forms as files that a user can send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.tools.doctor.examination import BackendReport, DoctorReport
from edge_runtime.tools.doctor.facts import Fact
from edge_runtime.tools.doctor.timing import Spread
from latentline.base import atomic

_MARKS = {True: "ok", False: "no", None: ""}


def to_text(report: DoctorReport) -> str:
    """The report for a reader."""
    lines = [f"latentline doctor, {report.created}", "", *map(_fact, report.facts)]
    for backend in report.backends:
        lines += ["", *_backend(backend)]
    verdict = (
        "every backend that runs here agrees with its reference" if report.passed else "NOT as it should be: see above"
    )
    return "\n".join([*lines, "", verdict, ""])


def write_report(report: DoctorReport, folder: Path) -> tuple[Path, Path]:
    """Write doctor.txt and doctor.json into `folder`; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    text, data = folder / "doctor.txt", folder / "doctor.json"
    atomic.write_text(text, to_text(report))
    atomic.write_text(data, json.dumps(report.to_json(), indent=2) + "\n")
    return text, data


def _fact(fact: Fact) -> str:
    return f"{_MARKS[fact.ok]:8}{fact.topic:16} {fact.value}"


def _backend(backend: BackendReport) -> Iterator[str]:
    if backend.problem is not None:
        verdict = ": FAILED:" if backend.needed else " cannot run here:"
        yield f"backend {backend.name}{verdict} {backend.problem}"
        return
    yield f"backend {backend.name}: {'passed' if backend.passed else 'FAILED'}"
    for comparison in backend.comparisons:
        allowed = "reported only" if comparison.bound is None else f"at most {comparison.bound:g}"
        mark = "" if comparison.bound is None else "ok" if comparison.passed else "FAILED"
        yield f"{mark:8}{comparison.measured:9.2g}  {comparison.what} ({allowed})"
    if backend.frame_ms is not None:
        yield f"        one frame of {backend.tiles} tiles, on the host's clock: {_spread(backend.frame_ms)}"
    if backend.search_ms is not None:
        yield f"        of it the CUDA graph, on the GPU's clock: {_spread(backend.search_ms)}"
        yield f"        {backend.graph_nodes} nodes in the graph, {backend.host_calls} driver calls a frame"


def _spread(spread: Spread) -> str:
    return f"{spread.median:.1f} ms (p10-p90 {spread.p10:.1f}-{spread.p90:.1f}, {spread.repeats} times)"

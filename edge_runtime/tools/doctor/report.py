"""The doctor's report as text, and as files that a user can send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.tools.doctor.examination import BackendReport, DoctorReport
from edge_runtime.tools.doctor.facts import Fact
from edge_runtime.tools.doctor.timing import Timing
from latentline.base import atomic
from latentline.base.counted import counted
from latentline.printable import printable

_MARKS = {True: "ok", False: "no", None: ""}


def to_text(report: DoctorReport) -> str:
    """The report as text, for people."""
    lines = [f"latentline doctor, {report.created}", "", *map(_fact, report.facts)]
    for backend in report.backends:
        lines += ["", *_backend(backend)]
    verdict = "every backend that runs here agrees with its reference" if report.passed else "FAILED: see above"
    return "\n".join([*lines, "", verdict, ""])


def write_report(report: DoctorReport, folder: Path) -> tuple[Path, Path]:
    """Write doctor.txt and doctor.json into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    text, data = folder / "doctor.txt", folder / "doctor.json"
    atomic.write_text(text, to_text(report))
    atomic.write_text(data, json.dumps(report.to_json(), indent=2) + "\n")
    return text, data


def _fact(fact: Fact) -> str:
    return f"{_MARKS[fact.ok]:8}{fact.topic:16} {printable(fact.value)}"


def _backend(backend: BackendReport) -> Iterator[str]:
    if backend.problem is not None:
        verdict = ": FAILED:" if backend.needed else " cannot run here:"
        yield f"backend {backend.name}{verdict} {printable(backend.problem)}"
        return
    yield f"backend {backend.name}: {'passed' if backend.passed else 'FAILED'}"
    for comparison in backend.comparisons:
        allowed = "reported only" if comparison.bound is None else f"at most {comparison.bound:g}"
        mark = "" if comparison.bound is None else "ok" if comparison.passed else "FAILED"
        yield f"{mark:8}{comparison.measured:9.2g}  {comparison.what} ({allowed})"
    if backend.frame_ms is not None:
        yield f"        one frame of {counted(backend.tiles, 'tile')}, by the host's clock: {_timing(backend.frame_ms)}"
    if backend.search_ms is not None:
        yield f"        the CUDA graph alone, by the GPU's clock: {_timing(backend.search_ms)}"
        yield f"        {backend.graph_nodes} nodes in the graph, {backend.host_calls} driver calls per frame"
        how = "as a loop" if backend.unrolled is None else f"iteration by iteration: {printable(backend.unrolled)}"
        yield f"        the search is in the graph {how}"


def _timing(timing: Timing) -> str:
    return f"{timing.median:.1f} ms (p10-p90 {timing.p10:.1f}-{timing.p90:.1f}, {counted(timing.repeats, 'time')})"

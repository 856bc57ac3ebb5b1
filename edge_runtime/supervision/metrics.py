"""A snapshot as Prometheus metrics. The station counts; a scrape only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric

from edge_runtime.cameras.report import CameraReport, CameraState
from edge_runtime.supervision.archive_numbers import ArchiveNumbers
from edge_runtime.supervision.shadow_numbers import ShadowNumbers
from edge_runtime.supervision.snapshot import Snapshot
from edge_runtime.supervision.state import State

CONTENT_TYPE = CONTENT_TYPE_LATEST


def metrics_text(snapshot: Snapshot, software: str) -> bytes:
    """The text format of Prometheus; docs/operations.md lists the metrics. software: version of this station."""
    return generate_latest(_Collected(snapshot, software))  # type: ignore[no-untyped-call,unused-ignore]


class _Collected:
    """The registry that `generate_latest` expects."""

    def __init__(self, snapshot: Snapshot, software: str) -> None:
        self._snapshot, self._software = snapshot, software

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        yield from _station(snapshot, self._software)
        yield from _frames(snapshot)
        yield from _cameras(snapshot.cameras)
        yield from _events(snapshot)
        yield _labelled(_gauge("drift", "Numbers of the drift report", "name"), snapshot.drift)
        if snapshot.archive is not None:
            yield from _archive(snapshot.archive)
        if snapshot.shadow is not None:
            yield from _shadow(snapshot.shadow)
        yield from _process(snapshot)


def _station(snapshot: Snapshot, software: str) -> Iterator[Metric]:
    info = _gauge("info", "What runs here; always 1", "version", "model", "model_sha256", "backend")
    info.add_metric([software, snapshot.model_name, snapshot.model_sha256, snapshot.backend], 1)
    yield info
    states = {state: float(state == snapshot.state) for state in get_args(State)}
    yield _labelled(_gauge("state", "1 for the present state, 0 for the others", "state"), states)
    yield _labelled(_gauge("fault", "1 for each present fault", "code"), dict.fromkeys(snapshot.faults, 1.0))
    yield _gauge("uptime_seconds", "Seconds since the start", value=snapshot.uptime_seconds)
    yield _gauge("paused", "1 while a command has paused the station", value=snapshot.paused)


def _frames(snapshot: Snapshot) -> Iterator[Metric]:
    verdicts = {
        "normal": snapshot.inspected - snapshot.abnormal,
        "abnormal": snapshot.abnormal,
        "unusable": snapshot.unusable,
        "failed": snapshot.failed,
    }
    yield _labelled(_counter("frames", "Inspected frames, by verdict", "verdict"), verdicts)
    latency = _gauge("inspection_seconds", "Time of the newest inspections", "quantile")
    seconds = {"0.5": snapshot.inspect_ms_p50 / 1e3, "0.99": snapshot.inspect_ms_p99 / 1e3}
    yield _labelled(latency, seconds)
    yield _gauge("threshold", "Anomaly score above which a frame is abnormal", value=snapshot.threshold)


def _cameras(cameras: Mapping[str, CameraReport]) -> Iterator[Metric]:
    state = _gauge("camera_state", "1 for the present state, 0 for the others", "camera", "state")
    age = _gauge("camera_frame_age_seconds", "Age of the newest frame", "camera")
    late = _gauge("camera_lateness_seconds", "Age of the newest frame with a verdict when that was there", "camera")
    frames = _counter("camera_frames", "Frames read", "camera")
    bad = _counter("camera_bad_frames", "Frames that could not be used", "camera", "cause")
    reopened = _counter("camera_reopened", "Times the camera was opened again after a fault", "camera")
    stalls = _counter("camera_stalls", "Times the camera fell silent", "camera")
    dropped = _counter("camera_dropped_frames", "Frames that were not inspected", "camera", "cause")
    for name, report in cameras.items():
        for known in get_args(CameraState):
            state.add_metric([name, known], float(report.state == known))
        if report.age_seconds is not None:
            age.add_metric([name], report.age_seconds)
        if report.lateness_seconds is not None:
            late.add_metric([name], report.lateness_seconds)
        frames.add_metric([name], report.frames)
        reopened.add_metric([name], report.reopened)
        stalls.add_metric([name], report.stalls)
        for cause, count in report.bad_causes.items():
            bad.add_metric([name, cause], count)
        for cause, count in report.dropped.items():
            dropped.add_metric([name, cause], count)
    yield from (state, age, late, frames, bad, reopened, stalls, dropped)


def _events(snapshot: Snapshot) -> Iterator[Metric]:
    yield _counter("events", "Defect events written to the spool", value=snapshot.events)
    yield _counter("events_lost", "Defect events that could not be written", value=snapshot.lost)
    yield _counter("events_published", "Events that the broker confirmed", value=snapshot.published)
    yield _counter("events_unheard", "Events that the broker confirmed without a subscriber", value=snapshot.unheard)
    dropped = _counter("spool_dropped", "Events that the spool ever gave up, over restarts", "cause")
    yield _labelled(dropped, snapshot.spool_dropped)
    yield _counter("spool_damaged", "Events that damage of the spool has cost", value=snapshot.spool_damaged)
    yield _counter("dead_letters", "Events that could not be delivered", value=snapshot.dead_letters)
    yield _gauge("spool_waiting", "Events that wait for the broker", value=snapshot.spool_waiting)
    yield _gauge("spool_bytes", "Size of the events that wait", value=snapshot.spool_bytes)
    yield _gauge("connected", "1 while a broker accepts the station", value=snapshot.connected)
    yield _counter("connections", "Times a broker accepted the station", value=snapshot.connections)


def _archive(numbers: ArchiveNumbers) -> Iterator[Metric]:
    yield _counter("archive_written", "Pictures archived", value=numbers.written)
    dropped = _counter("archive_dropped", "Chosen frames that were not archived", "cause")
    yield _labelled(dropped, numbers.dropped)
    yield _counter("archive_pruned", "Pictures removed because of a limit", value=numbers.pruned)
    yield _gauge("archive_waiting", "Frames that wait to be archived", value=numbers.waiting)
    yield _gauge("archive_pictures", "Pictures in the archive", value=numbers.pictures)
    yield _gauge("archive_bytes", "Size of the archive's files", value=numbers.size)


def _shadow(numbers: ShadowNumbers) -> Iterator[Metric]:
    """These start anew with another running model or threshold, so they are gauges."""
    frames = {name: getattr(numbers, name) for name in ("scored", "skipped", "unusable")}
    yield _labelled(_gauge("shadow_frames", "Frames, by what the candidate did with them", "outcome"), frames)
    verdicts = numbers.verdicts
    counted = {"both": verdicts.both, "running": verdicts.only_old, "candidate": verdicts.only_new}
    yield _labelled(_gauge("shadow_abnormal", "Frames, by who calls them abnormal", "model"), counted)
    yield _gauge("shadow_failed", "Times the candidate's process ended or hung", value=numbers.failed)


def _process(snapshot: Snapshot) -> Iterator[Metric]:
    """The names are those of every Prometheus client."""
    process = snapshot.process
    yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory", value=process.rss_bytes)
    yield GaugeMetricFamily("process_open_fds", "Open file descriptors", value=process.descriptors)
    yield GaugeMetricFamily("process_threads", "Threads", value=process.threads)


def _gauge(name: str, text: str, *labels: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"latentline_{name}", text, value, None if value is not None else labels)


def _counter(name: str, text: str, *labels: str, value: float | None = None) -> CounterMetricFamily:
    return CounterMetricFamily(f"latentline_{name}", text, value, None if value is not None else labels)


def _labelled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    return family

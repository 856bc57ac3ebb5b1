"""The pipeline inspects frames in order, several at a time, and skips bad ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.config import StationConfig
from edge_runtime.frames.pipeline import FramePipeline
from edge_runtime.frames.summary import Summary
from edge_runtime.mqtt.events import Messages
from edge_runtime.station.station import Station
from edge_runtime.supervision.watchdog import Watchdog
from latentline.base.strict_yaml import parse
from latentline.inspection.result import InspectionResult
from tests.edge_runtime.fakes import BRIGHT, DARK, FATAL, UNUSABLE, FakeInspector, station_data, write_picture
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until


class RecordingInspector(FakeInspector):
    """Records when frames are started and finished, by grey level; `begin` waits until the next frame has arrived."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.feeds: Feeds | None = None

    def begin(self, image: np.ndarray) -> Callable[[], InspectionResult]:
        level = int(image.mean())
        self.notes.append(f"begin {level}")
        assert self.feeds is not None
        feeds, count = self.feeds, sum(note.startswith("begin") for note in self.notes)
        wait_until(lambda: feeds.states()["top"].frames > count or feeds.states()["top"].state == "ended", "the next")

        def finish() -> InspectionResult:
            self.notes.append(f"finish {level}")
            return self.inspect(image)

        return finish


def _frame(level: int) -> Frame:
    return Frame(np.full((4, 4, 1), level, np.uint8), datetime.now(timezone.utc), "top", f"{level}.png", level)


def test_frames_of_another_shape_than_the_models_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A camera whose frames are unlike those behind the threshold is inspected, and named once for each model."""
    inspector = FakeInspector()
    inspector.identity = replace(inspector.identity, frame_sizes=((8, 4),))
    stage = Watchdog(lambda *_: None).stage("inspector", 30, "it has worked")
    pipeline = FramePipeline(inspector, None, Summary(), stage, *(lambda *_: None,) * 3)
    for camera in ("top", "top", "side"):
        pipeline.submit(replace(_frame(DARK), camera=camera))
    assert all(pipeline.collect() is not None for _ in range(3))
    lines = [line for line in caplog.messages if "rests on images of 8 x 4 px" in line]
    assert [line.split()[1] for line in lines] == ["top", "side"]


def test_a_bad_frame_in_between_costs_only_itself() -> None:
    """Several frames in work come out in order; bad ones are counted by kind."""
    summary, faults = Summary(), []
    given_up: list[Frame] = []
    ends: list[str] = []
    stage = Watchdog(lambda *_: None).stage("inspector", 30, "it has worked")
    pipeline = FramePipeline(
        FakeInspector(), None, summary, stage, lambda _, sentence: faults.append(sentence), given_up.append, ends.append
    )
    levels = [DARK, UNUSABLE, BRIGHT, FATAL, DARK]
    for level in levels:
        pipeline.submit(_frame(level))
    outcomes = [pipeline.collect() for _ in levels]
    assert [o and o.frame.number for o in outcomes] == [DARK, None, BRIGHT, None, DARK] and len(pipeline) == 0
    assert (summary.inspected, summary.bad_frames, summary.failed) == (3, 1, 1)
    assert [frame.number for frame in given_up] == [UNUSABLE], "a frame at which the inspector failed is not done with"
    assert any("backend lost" in (sentence or "") for sentence in faults) and faults[-1] is None


@pytest.mark.parametrize("days", [-3650, 3650])
def test_a_jump_of_the_clock_is_no_wait(days: int) -> None:
    """A frame that was taken before the clock jumped has waited for as long as it has, whatever its time says."""
    stage = Watchdog(lambda *_: None).stage("inspector", 30, "it has worked")
    pipeline = FramePipeline(FakeInspector(), None, Summary(), stage, lambda *_: None, lambda _: None, lambda _: None)
    frame = _frame(DARK)
    pipeline.submit(replace(frame, captured_at=frame.captured_at - timedelta(days=days)))
    inspected = pipeline.collect()
    assert inspected is not None and 0 <= inspected.wait_ms < 60_000


class _TwoKindsInspector(FakeInspector):
    """A frame is as abnormal as it is bright, and its map shows something only where the grey level is even."""

    def inspect(self, image: np.ndarray) -> InspectionResult:
        level = int(image.mean())
        anomaly_map = np.zeros(image.shape[:2], np.float32)
        anomaly_map[1, 2] = 9.0 if level % 2 == 0 else 1.0
        empty = InspectionResult(
            float(level), 100.0, {}, (), anomaly_map, image, image, 1, {}, worst_tile=(2, 0, 2, 3)
        )  # fmt: skip
        return empty.at_threshold(100.0, self.identity.map_threshold)


@pytest.mark.parametrize("threshold", [None, 50.0, 100.0, 150.0, 0.0, 300.0])
@pytest.mark.parametrize("level", [40, 41, 50, 51, 100, 101, 120, 121, 150, 151, 200, 201])
def test_score_verdict_defects_and_count_agree(threshold: float | None, level: int) -> None:
    """Above the station's threshold a frame is abnormal and has a defect; at or below it has none. Messages say so."""
    inspector = _TwoKindsInspector()
    stage = Watchdog(lambda *_: None).stage("inspector", 30, "it has worked")
    pipeline = FramePipeline(inspector, threshold, Summary(), stage, lambda *_: None, lambda _: None, lambda _: None)
    pipeline.submit(_frame(level))
    inspected = pipeline.collect()
    assert inspected is not None
    inspection = inspected.inspection
    limit = 100.0 if threshold is None else threshold
    assert (inspection.threshold, inspection.is_abnormal) == (limit, level > limit)
    boxes = [defect.bbox for defect in inspection.defects]
    assert boxes == ([] if level <= limit else [(2, 1, 1, 1)] if level % 2 == 0 else [(2, 0, 2, 3)])
    messages = Messages("line-1")
    result = messages.result(inspected.frame, inspection, 0.0)
    assert (result["abnormal"], result["defect_count"]) == (level > limit, len(boxes))
    assert len(messages.defect(inspected.frame, inspection, inspector.identity, 0.0)["defects"]) == len(boxes)


@pytest.mark.parametrize(("lossless", "order"), [(True, ["begin", "begin"]), (False, ["begin", "finish"])])
def test_only_lossless_frames_are_in_work_together(
    tmp_path: Path, mosquitto: Mosquitto, lossless: bool, order: list[str]
) -> None:
    """With `every_frame` the next frame starts before the last one is finished; otherwise it starts afterwards."""
    mosquitto.start()
    (tmp_path / "pictures").mkdir()
    levels = (10, 11, 12, 13, 14)
    for number, level in enumerate(levels):
        write_picture(tmp_path / "pictures" / f"{number}.png", level)
    data = station_data(tmp_path, mosquitto.port)
    data["cameras"][0]["every_frame"] = lossless
    inspector = RecordingInspector()
    station = Station(parse(data, StationConfig, "-"), inspector)
    inspector.feeds = station.feeds
    summary = station.run()
    finished = [note for note in inspector.notes if note.startswith("finish")]
    assert summary.inspected == len(finished) and finished == sorted(finished)
    if lossless:
        assert len(finished) == len(levels) and "".join(inspector.notes).count("begin") == len(levels)
    assert [note.split()[0] for note in inspector.notes[:2]] == order
    if not lossless:
        assert all(a.split()[0] != b.split()[0] for a, b in zip(inspector.notes, inspector.notes[1:], strict=False))

"""bench.detection.labels: streams cut by parts, and labels as a station's archive exports them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.detection.labelling.drifting_demo import DriftingDemo, drifted
from bench.detection.labelling.station import Said, judge_and_archive, label_next
from bench.detection.labelling.stream import GOOD, StreamFrame, lots, natural
from bench.detection.labels import figures
from edge_runtime.archive.training_set import export_labels
from latentline.vision.images import read_image
from tests.edge_runtime.fakes import FakeInspector
from trainer.data.added import read_added
from trainer.evaluation.intervals import Estimate


def frames() -> list[StreamFrame]:
    """Thirteen parts in their order, each with a good image and a scratched one."""
    return [StreamFrame(f"{part:02} {kind}", kind, f"part {part}") for part in range(13) for kind in (GOOD, "scratch")]


class TwelveGreys:
    """A stream of six parts: each good image has a grey level of its own, and each scratched one is 100 brighter."""

    frames: Sequence[StreamFrame] = frames()[:12]

    def read(self, name: str) -> np.ndarray:
        """One image of a single grey level, which is its score; the fake model's threshold is 100."""
        part, kind = name.split()
        return np.full((20, 24), 20 + 2 * int(part) + 100 * (kind != GOOD), np.uint8)

    def mask(self, name: str, shape: tuple[int, int]) -> np.ndarray:
        """The left half is scratched."""
        return np.arange(shape[1])[None].repeat(shape[0], 0) < shape[1] // 2


def test_parts_are_in_the_order_of_their_numbers_and_none_is_cut() -> None:
    """Part 10 comes after part 9; the last quarter has the last parts, whole, and the first the parts left over."""
    assert sorted(["part 10", "part 9", "b"], key=natural) == ["b", "part 9", "part 10"]
    quarters = lots(frames())
    assert [len(quarter) for quarter in quarters] == [8, 6, 6, 6]
    assert {frame.part for frame in quarters[-1]} == {"part 10", "part 11", "part 12"}
    assert [frame for quarter in quarters for frame in quarter] == frames()


def test_false_alarms_and_misses_are_counted() -> None:
    """Who calls each good image abnormal and no scratch has all false alarms, all misses, and an AUROC of 0.

    Scores that tell all scratches from all good images miss none at 5 % false alarms, however high the threshold is.
    """
    said = {frame.name: Said(float(frame.kind == GOOD), frame.kind == GOOD) for frame in frames()}
    found = figures(frames(), said)
    values = [cell.value for cell in found.values() if isinstance(cell, Estimate)]
    assert values == [1.0, 1.0, 1.0, 0.0]
    said = {frame.name: Said(float(frame.kind != GOOD), False) for frame in frames()}
    values = [cell.value for cell in figures(frames(), said).values() if isinstance(cell, Estimate)]
    assert values == [0.0, 1.0, 0.0, 1.0]
    scratched = [frame for frame in frames() if frame.kind != GOOD]
    assert {name: getattr(cell, "value", cell) for name, cell in figures(scratched, said).items()} == {
        "false alarms": None,
        "missed": 1.0,
    }


def test_the_queue_is_labelled_in_its_order_and_the_trainer_reads_the_export(tmp_path: Path) -> None:
    """Scratches nearest to the threshold come first, with masks; further labels join them; a part is a group."""
    stream, model = TwelveGreys(), FakeInspector()
    said = judge_and_archive(model, stream, stream.frames, tmp_path / "archive")  # type: ignore[arg-type]
    assert [name for name, one in said.items() if one.abnormal] == [f.name for f in stream.frames if f.kind != GOOD]
    truth = {frame.name: frame for frame in stream.frames}
    counts = []
    for number in (3, 6):
        label_next(tmp_path / "archive", stream, truth, number)
        told = export_labels(tmp_path / "archive", tmp_path / "labels")
        counts.append((told.good, told.defects, told.masks, told.false_alarms, told.missed))
    assert counts == [(0, 3, 3, 0, 0), (3, 6, 6, 0, 0)]
    added = read_added(tmp_path / "labels")
    assert len(set(added.groups.values())) == 6
    masks = sorted((tmp_path / "labels" / "ground_truth" / "scratch").iterdir())
    assert all(read_image(mask).mean() == 127.5 for mask in masks)


def test_light_fades_along_the_stream_and_unevenly() -> None:
    """At its beginning a picture is as it was; at its end it is darker everywhere, and most of all at the left."""
    white = np.full((4, 101), 255, np.uint8)
    assert (drifted(white, 0.0) == white).all()
    end = drifted(white, 1.0)
    assert (end[0, 0], end[0, 50], end[0, 100]) == (217, 230, 242)
    assert drifted(np.full((4, 101), 100, np.uint8), 1.0)[0, 50] < 90  # mid-greys lose more than a tenth


def test_the_demo_stream_knows_its_truth() -> None:
    """A frame is good exactly where its mask is empty; both kinds come; the last frame is darker than the first."""
    demo = DriftingDemo(passes=2)
    assert {demo.read(frame.name).shape for frame in demo.frames} == {(480, 640)}
    for frame in demo.frames:
        assert (frame.kind == GOOD) == (not demo.mask(frame.name, demo.read(frame.name).shape[:2]).any())
    assert len({frame.kind == GOOD for frame in demo.frames}) == 2
    first, last = (demo.read(demo.frames[place].name).mean() for place in (0, -1))
    assert last < 0.93 * first

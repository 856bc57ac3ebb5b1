"""bench.detection.labels: a stream of test images, cut by parts, and labels as a station exports them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.detection.labels import GOOD, StreamImage, cut, figures, natural, write_labels
from latentline.vision.images import read_image
from trainer.data.added import read_added
from trainer.evaluation.intervals import Estimate


def images() -> list[StreamImage]:
    """Twelve parts in their order, each with a good image and a scratched one."""
    return [StreamImage(f"{kind}{part}", kind, f"part {part}") for part in range(12) for kind in (GOOD, "scratch")]


def results(abnormal: Any) -> dict[str, Any]:
    """What a model says that takes images for abnormal where `abnormal` does."""
    said = {i.name: bool(abnormal(i)) for i in images()}
    box = SimpleNamespace(bbox=(1, 2, 3, 4))
    return {
        name: SimpleNamespace(score=float(flag), is_abnormal=flag, defects=[box] if flag else [])
        for name, flag in said.items()
    }


def test_parts_are_in_the_order_of_their_numbers_and_none_is_cut() -> None:
    """Part 10 comes after part 9; the last quarter has the last parts, whole."""
    assert sorted(["part 10", "part 9", "b"], key=natural) == ["b", "part 9", "part 10"]
    before, last = cut(images())
    assert {i.part for i in last} == {"part 9", "part 10", "part 11"} and len(last) == 6
    assert not {i.part for i in before} & {i.part for i in last}


def test_false_alarms_and_misses_are_counted() -> None:
    """Who calls each good image abnormal and no scratch has all false alarms, all misses, and an AUROC of 0."""
    _, last = cut(images())
    found = figures(last, results(lambda image: image.kind == GOOD))
    values = [cell.value for cell in found.values() if isinstance(cell, Estimate)]
    assert values == [1.0, 1.0, 0.0]


def test_the_trainer_reads_the_labels(tmp_path: Path) -> None:
    """Good images, defects and the boxes of false alarms arrive as from a station's export."""

    class Source:
        def read(self, name: str) -> np.ndarray:
            return np.full((20, 20), len(name), np.uint8)

        def mask(self, name: str, shape: tuple[int, int]) -> np.ndarray:
            return np.ones(shape, np.bool_)

    said = results(lambda image: True)
    write_labels(tmp_path / "labels", Source(), images()[:6], said)  # type: ignore[arg-type]
    added = read_added(tmp_path / "labels")
    assert (len(added.good), len(added.defects)) == (3, 3) and set(added.boxes) == set(added.good)
    assert set(added.groups.values()) == {"label part 0", "label part 1", "label part 2"}
    masks = sorted((tmp_path / "labels" / "ground_truth" / "scratch").iterdir())
    assert len(masks) == 3 and all(read_image(mask).min() == 255 for mask in masks)

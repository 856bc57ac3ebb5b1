from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from latentline.errors import WorkersError
from latentline.rescoring.crew import BATCH, Batch, Finished, scored_in_order
from latentline.rescoring.pictures import PictureFile
from latentline.rescoring.scored_picture import ScoredPicture


class _FakeCrew:
    """Two workers that finish last things first, and end when they see a deadly picture."""

    def __init__(self, deadly: Sequence[str] = ()) -> None:
        self.deadly, self.given = deadly, list[Batch]()

    def idle(self) -> bool:
        return len(self.given) < 2

    def give(self, batch: Batch) -> None:
        self.given.append(batch)

    def wait(self) -> list[Finished]:
        batch = self.given.pop()
        if any(picture.name in self.deadly for picture in batch.pictures):
            return [Finished(batch, None, "a process got SIGSEGV")]
        return [Finished(batch, [ScoredPicture(picture.name, "0", 1.0, 0.5) for picture in batch.pictures])]

    def close(self) -> None:
        pass


def _pictures(count: int) -> list[PictureFile]:
    return [PictureFile(f"{i:03d}.png", Path()) for i in range(count)]


def test_rows_come_in_order_whoever_finishes_first() -> None:
    """The table does not depend on which worker was faster."""
    pictures = _pictures(3 * BATCH + 5)
    rows = list(scored_in_order(_FakeCrew(), pictures, 1.0, Counter()))
    assert [row.name for row in rows] == [picture.name for picture in pictures]


def test_a_picture_that_kills_its_worker_costs_only_itself() -> None:
    """Of a batch whose workers end, every picture but the guilty one gets its score; the guilty one gets a reason."""
    pictures, counts = _pictures(2 * BATCH), Counter[str]()
    rows = list(scored_in_order(_FakeCrew([pictures[7].name]), pictures, 1.0, counts))
    assert [row.name for row in rows] == [picture.name for picture in pictures]
    assert [row.name for row in rows if row.score is None] == [pictures[7].name]
    assert "SIGSEGV" in (rows[7].error or "")
    assert counts == {"retried": 4, "deadly": 1}  # the batch twice, then the picture twice


def test_workers_that_always_end_stop_the_run_with_a_sentence() -> None:
    """Where no worker survives anything, nobody is told of a million broken pictures."""
    pictures = _pictures(4 * BATCH)
    with pytest.raises(WorkersError, match="end again and again"):
        list(scored_in_order(_FakeCrew([picture.name for picture in pictures]), pictures, 1.0, Counter()))

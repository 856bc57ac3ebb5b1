"""Work shared by workers that may die: what it costs is retried, and what kills them is found."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from latentline.base.counted import counted
from latentline.errors import WorkersError
from latentline.rescoring.pictures import PictureFile
from latentline.rescoring.scored_picture import ScoredPicture

BATCH = 16  # pictures that a worker takes at a time
_TRIES = 2  # of a batch, and then of each of its pictures
_MOST_DEATHS = 6  # in a row, without any finished batch between them

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Some pictures that follow one another. start: index of the first; tries: how often they have failed already."""

    start: int
    pictures: Sequence[PictureFile]
    tries: int = 0


@dataclass(frozen=True)
class Finished:
    """The end of one batch.

    batch   None: the worker ended before it had one
    rows    of its pictures; None: the worker ended
    reason  why it ended
    """

    batch: Batch | None
    rows: Sequence[ScoredPicture] | None
    reason: str = ""


class Crew(Protocol):
    """Workers that score batches, each one at a time. A worker that ends is replaced."""

    def idle(self) -> bool:
        """Whether a worker can take a batch now."""
        ...

    def give(self, batch: Batch) -> None:
        """Let an idle worker score `batch`."""
        ...

    def wait(self) -> list[Finished]:
        """Wait until something happens. Raises LatentlineError when a worker cannot do its work at all."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


def scored_in_order(
    crew: Crew, pictures: Sequence[PictureFile], threshold: float, counts: Counter[str]
) -> Iterator[ScoredPicture]:
    """The row of each picture, in order, whoever finishes first.

    threshold  of the row of a picture that no worker survives
    counts     gets "retried" batches and "deadly" pictures
    Raises WorkersError when workers end again and again, and what `Crew.wait` raises.
    """
    held: dict[int, Sequence[ScoredPicture]] = {}
    following = 0
    for start, rows in _scored(crew, pictures, threshold, counts):
        held[start] = rows
        while following in held:
            done = held.pop(following)
            yield from done
            following += len(done)


def _scored(
    crew: Crew, pictures: Sequence[PictureFile], threshold: float, counts: Counter[str]
) -> Iterator[tuple[int, Sequence[ScoredPicture]]]:
    """(index of the first picture, rows) of each batch, as they finish."""
    fresh = (Batch(i, pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH))
    again: deque[Batch] = deque()
    in_work = deaths = 0
    while True:
        while crew.idle() and (batch := again.popleft() if again else next(fresh, None)) is not None:
            crew.give(batch)
            in_work += 1
        if not in_work and not again and crew.idle():
            return
        for finished in crew.wait():
            batch, rows = finished.batch, finished.rows
            in_work -= batch is not None
            deaths = 0 if rows is not None else deaths + 1
            if deaths > _MOST_DEATHS:
                raise WorkersError(
                    f"the workers end again and again ({finished.reason}); use fewer of them, or free some memory"
                )
            if batch is not None and rows is not None:
                yield batch.start, rows
            elif batch is not None:
                counts["retried"] += 1
                _log.warning(
                    "a worker ended (%s); its %s tried again",
                    finished.reason,
                    counted(len(batch.pictures), "picture is", "pictures are"),
                )
                if batch.tries + 1 < _TRIES:
                    again.append(replace(batch, tries=batch.tries + 1))
                elif len(batch.pictures) > 1:
                    again.extend(Batch(batch.start + i, [one]) for i, one in enumerate(batch.pictures))
                else:
                    counts["deadly"] += 1
                    error = f"{_TRIES} workers ended while they scored it ({finished.reason})"
                    yield batch.start, [ScoredPicture(batch.pictures[0].name, None, threshold, error=error)]

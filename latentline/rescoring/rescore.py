"""Score pictures again with a package: by processes on this machine or by a Ray cluster, into one table."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from latentline.base.version import software_version
from latentline.package.model_package import ModelPackage
from latentline.rescoring.crew import Crew, scored_in_order
from latentline.rescoring.pictures import PictureFile
from latentline.rescoring.score_table import PART, PartedTable
from latentline.rescoring.scored_picture import ScoredPicture

OpenCrew = Callable[[ModelPackage], Crew]


@dataclass(frozen=True)
class RescoreReport:
    """What one run of `rescore` did.

    pictures    in the table; kept: of them, those that an earlier, interrupted run had scored
    abnormal    pictures of this run above the threshold; unreadable: those without a score, which say why
    retried     batches that were tried again because their worker had ended
    seconds     that this run took
    """

    out: str
    model: str
    sha256: str
    pictures: int
    kept: int
    abnormal: int
    unreadable: int
    retried: int
    seconds: float


def rescore(
    pictures: Sequence[PictureFile],
    package: ModelPackage,
    out: Path,
    open_crew: OpenCrew,
    progress: Callable[[int], Any] = lambda _: None,
) -> RescoreReport:
    """Score `pictures` with `package` into the table `out`. An interrupted run goes on where it was.

    open_crew  gives the workers
    progress   called with a number of pictures that are done
    Raises ConfigError when `out` cannot be written, WorkersError, and what opening the package raises.
    """
    started = time.monotonic()
    table = PartedTable(out, _plan(pictures, package), _facts(package))
    kept, counts = table.kept, Counter[str]()
    progress(kept)
    if kept < len(pictures):
        crew = open_crew(package)
        try:
            threshold = package.manifest.calibration.threshold
            rows = scored_in_order(crew, pictures[kept:], threshold, counts)
            counted = _counted(rows, counts, progress)
            while part := list(islice(counted, PART)):
                table.append(part)
        finally:
            crew.close()
    table.finish()
    return RescoreReport(
        str(out),
        package.manifest.name,
        package.model_hash,
        len(pictures),
        kept,
        counts["abnormal"],
        counts["unreadable"],
        counts["retried"],
        round(time.monotonic() - started, 3),
    )


def _counted(
    rows: Iterator[ScoredPicture], counts: Counter[str], progress: Callable[[int], Any]
) -> Iterator[ScoredPicture]:
    for row in rows:
        counts[row.verdict or "unreadable"] += 1
        progress(1)
        yield row


def _plan(pictures: Sequence[PictureFile], package: ModelPackage) -> str:
    """A hash that is another one when the rows would be others."""
    digest = hashlib.sha256(f"{software_version()}\n{package.model_hash}\n".encode())
    for picture in pictures:
        digest.update(f"{picture.mark}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _facts(package: ModelPackage) -> dict[str, str]:
    """Metadata of the table: nothing that differs when the same pictures are scored again."""
    return {"model": package.manifest.name, "model_sha256": package.model_hash, "software": software_version()}

"""What a package says of one picture."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class FoundDefect:
    """One defect of a picture, in its pixels: box, area, peak of the anomaly map in standard deviations of normal."""

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float


@dataclass(frozen=True)
class ScoredPicture:
    """One row of a table of scores.

    name        of the picture, its path from the folder
    sha256      of the file; None: it could not be read
    score       anomaly score; None: the picture could not be inspected, and `error` says why
    pixels      short hash of what the picture shows (`latentline.vision.content`), of its region of interest where the
                package has one; None: it could not be read
    components  the standardised components of the score, by name
    threshold   of the package
    """

    name: str
    sha256: str | None
    threshold: float
    score: float | None = None
    pixels: str | None = None
    components: dict[str, float] = field(default_factory=dict)
    defects: tuple[FoundDefect, ...] = ()
    error: str | None = None

    @property
    def verdict(self) -> str | None:
        """ "abnormal" or "normal"; None without a score."""
        if self.score is None:
            return None
        return "abnormal" if self.score > self.threshold else "normal"

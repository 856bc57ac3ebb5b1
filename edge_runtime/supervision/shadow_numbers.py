"""What the station counts of its candidate."""

from __future__ import annotations

from dataclasses import dataclass, field

from latentline.evidence.paired import PairedCounts


@dataclass(frozen=True)
class ShadowChange:
    """A frame of which the models say different things. Margins: score minus threshold, positive where abnormal."""

    camera: str
    source: str
    captured_at: str
    old_margin: float
    new_margin: float


@dataclass(frozen=True)
class ShadowNumbers:
    """All but `error` starts anew when the running model or its threshold changes.

    name, sha256, threshold   of the candidate; empty and 0 until it is open
    against   SHA-256 of the running model; empty before the first frame
    scored    frames that the candidate scored; skipped: those it had no time for; unusable: those it could not use
    failed    how often its process ended or hung
    verdicts  of the running model (old) and the candidate (new), on the frames that were scored
    changes   the newest frames with different verdicts, the oldest first
    milliseconds  median time that it takes for a frame
    error     why it does not work now; None: it works, or has not begun
    """

    name: str = ""
    sha256: str = ""
    threshold: float = 0.0
    against: str = ""
    scored: int = 0
    skipped: int = 0
    unusable: int = 0
    failed: int = 0
    verdicts: PairedCounts = field(default_factory=PairedCounts)
    changes: tuple[ShadowChange, ...] = ()
    milliseconds: float = 0.0
    error: str | None = None

"""Which inspected frames are archived."""

from __future__ import annotations

import hashlib

from edge_runtime.archive.record import Why
from edge_runtime.archive.settings import ArchiveShares
from edge_runtime.cameras.base import Frame
from latentline.inspection.result import InspectionResult


class FrameChoice:
    """Chooses by the verdict and, for a share of less than 1, by a number in [0, 1) that seed and frame determine."""

    def __init__(self, shares: ArchiveShares, seed: int) -> None:
        self._shares, self._seed = shares, seed

    def why(self, frame: Frame, inspection: InspectionResult) -> Why | None:
        """Why the frame is archived; None: it is not."""
        shares = self._shares
        if inspection.is_abnormal:
            why, share = "abnormal", shares.abnormal
        elif inspection.score > inspection.threshold - shares.width:
            why, share = "near_threshold", shares.near_threshold
        else:
            why, share = "normal", shares.normal
        chosen = share >= 1 or (share > 0 and self._draw(frame) < share)
        return why if chosen else None  # type: ignore[return-value]

    def _draw(self, frame: Frame) -> float:
        name = f"{self._seed}|{frame.camera}|{frame.source}|{frame.captured_at.isoformat()}"
        digest = hashlib.blake2b(name.encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

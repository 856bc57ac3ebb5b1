"""A simulated camera that pans over the photographed surface and knows the ground truth of every frame."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from time import monotonic

import numpy as np
import numpy.typing as npt

from edge_runtime.cameras.base import Frame
from edge_runtime.tools.demo.defects import PAINTERS, paint
from edge_runtime.tools.demo.surface import CAMERA_COLUMNS, FRAME, expose, load_surface

STEP = 44  # px the camera moves between frames
DEFECTS_PER_PASS = 5
VISIBLE = 12  # px of a defect in view that make a frame abnormal
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Truth:
    """The ground truth of a frame.

    mask   [H, W], True on painted pixels
    kinds  of the defects with at least VISIBLE px in view
    clear  False when a defect has fewer pixels in view: the frame is then neither normal nor abnormal
    """

    mask: npt.NDArray[np.bool_]
    kinds: tuple[str, ...]
    clear: bool

    @property
    def abnormal(self) -> bool:
        """Whether a defect is in view."""
        return bool(self.kinds)


class PanningCamera:
    """Pans along its strip again and again, each time with newly painted defects.

    Ends after `seconds`. truths: by frame number.
    """

    def __init__(self, name: str, seconds: float, seed: int) -> None:
        self.name = name
        self.truths: dict[int, Truth] = {}
        self._strip = load_surface()[:, CAMERA_COLUMNS]
        self._rng = np.random.default_rng(seed)
        self._seconds = seconds
        self._closed = threading.Event()
        self._end = 0.0
        self._views: list[tuple[UInt8, Truth]] = []

    def open(self) -> None:
        """Start the clock."""
        self._end = monotonic() + self._seconds
        self._closed.clear()

    def read(self) -> Frame | None:
        """The next frame; None when the time is over."""
        if self._closed.is_set() or monotonic() >= self._end:
            return None
        if not self._views:
            self._views = self._next_pass()
        view, truth = self._views.pop(0)
        number = len(self.truths)
        image = expose(view, self._rng)
        self.truths[number] = truth
        return Frame(image[:, :, None], datetime.now(timezone.utc), self.name, f"pass frame {number}", number)

    def close(self) -> None:
        """Stop the camera."""
        self._closed.set()

    def _next_pass(self) -> list[tuple[UInt8, Truth]]:
        piece, masks = self._strip, []
        height, width = piece.shape
        for _ in range(DEFECTS_PER_PASS):
            kind = str(self._rng.choice(sorted(PAINTERS)))
            centre = int(self._rng.integers(24, width - 24)), int(self._rng.integers(24, height - 24))
            piece, mask = paint(piece, kind, centre, self._rng)
            masks.append((kind, mask))
        ys = np.arange(0, height - FRAME + 1, STEP)
        xs = np.linspace(0, width - FRAME, len(ys)).round().astype(int)
        if self._rng.random() < 0.5:
            xs = xs[::-1]
        return [self._view(piece, masks, int(y), int(x)) for y, x in zip(ys, xs, strict=True)]

    @staticmethod
    def _view(piece: UInt8, masks: list[tuple[str, npt.NDArray[np.bool_]]], y: int, x: int) -> tuple[UInt8, Truth]:
        window = slice(y, y + FRAME), slice(x, x + FRAME)
        pixels = [(kind, mask[window], int(mask[window].sum())) for kind, mask in masks]
        mask = np.any([m for _, m, _ in pixels], axis=0)
        kinds = tuple(sorted({kind for kind, _, count in pixels if count >= VISIBLE}))
        clear = all(count == 0 or count >= VISIBLE for _, _, count in pixels)
        return piece[window], Truth(mask, kinds, clear)

"""A simulated camera that pans along walls and knows the ground truth of every frame."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from time import monotonic

import numpy as np
import numpy.typing as npt

from edge_runtime.cameras.base import Frame
from edge_runtime.tools.demo.defects import PAINTERS, paint
from edge_runtime.tools.demo.surface import COURSE, UInt8, load_piles
from edge_runtime.tools.demo.wall import HEIGHT, WIDTH, expose, lay_wall

STEP = 440  # px the camera moves between frames
FRAMES_PER_PASS = 5
DEFECTS_PER_PASS = 2
DRIFT = COURSE  # px by which it rises or sinks during a pass
MARGIN = 24  # px between the centre of a defect and the edge of the wall
VISIBLE = 22  # px of a defect in view that make a frame abnormal
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PaintedDefect:
    """A defect in view: its kind, and a mask [H, W] of the frame, True on its painted pixels."""

    kind: str
    mask: Mask


@dataclass(frozen=True)
class Truth:
    """The ground truth of a frame.

    mask     [H, W], True on painted pixels
    defects  those with at least VISIBLE px in view
    clear    False when a defect has fewer pixels in view: the frame is then neither normal nor abnormal
    """

    mask: Mask
    defects: tuple[PaintedDefect, ...]
    clear: bool

    @property
    def abnormal(self) -> bool:
        """Whether a defect is in view."""
        return bool(self.defects)


class PanningCamera:
    """Pans along one wall after another, each with newly painted defects.

    Ends after `seconds`. truths: by frame number; whoever has read one may remove it.
    """

    def __init__(self, name: str, seconds: float, seed: int) -> None:
        self.name = name
        self.truths: dict[int, Truth] = {}
        self._pile = load_piles().camera
        self._rng = np.random.default_rng(seed)
        self._seconds = seconds
        self._closed = threading.Event()
        self._end = 0.0
        self._number = 0
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
        number, self._number = self._number, self._number + 1
        image = expose(view, self._rng)
        self.truths[number] = truth
        return Frame(image[:, :, None], datetime.now(timezone.utc), self.name, f"pass frame {number}", number)

    def close(self) -> None:
        """Stop the camera."""
        self._closed.set()

    def _next_pass(self) -> list[tuple[UInt8, Truth]]:
        height, width = HEIGHT + DRIFT, WIDTH + STEP * (FRAMES_PER_PASS - 1)
        wall, painted = lay_wall(self._pile, height, width, self._rng), []
        for _ in range(DEFECTS_PER_PASS):
            kind = str(self._rng.choice(sorted(PAINTERS)))
            x, y = (int(self._rng.integers(MARGIN, side - MARGIN)) for side in (width, height))
            wall, mask = paint(wall, kind, (x, y), self._rng)
            painted.append(PaintedDefect(kind, mask))
        ys = np.linspace(0, DRIFT, FRAMES_PER_PASS).round().astype(int)
        if self._rng.random() < 0.5:
            ys = ys[::-1]
        return [self._view(wall, painted, int(y), STEP * index) for index, y in enumerate(ys)]

    @staticmethod
    def _view(wall: UInt8, painted: list[PaintedDefect], y: int, x: int) -> tuple[UInt8, Truth]:
        window = slice(y, y + HEIGHT), slice(x, x + WIDTH)
        seen = [(PaintedDefect(defect.kind, defect.mask[window]), int(defect.mask[window].sum())) for defect in painted]
        mask = np.any([defect.mask for defect, _ in seen], axis=0)
        visible = tuple(defect for defect, pixels in seen if pixels >= VISIBLE)
        clear = all(pixels == 0 or pixels >= VISIBLE for _, pixels in seen)
        return wall[window], Truth(mask, visible, clear)

"""Synthetic frames, to try a station without a camera."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone

import numpy as np
import numpy.typing as npt

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.settings.simulator import SimulatorSettings

UInt8 = npt.NDArray[np.uint8]
_STEP = 17  # pixels that the surface moves between frames


class SimulatorCamera:
    """A moving random texture with sensor noise. Some frames have a defect, one dark or bright blot.

    `Frame.source` says whether the frame has a defect. Frame n depends only on the settings, seed included.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self.name = settings.id
        self._settings = settings
        self._closed = threading.Event()
        self._surface = _texture(settings.height, settings.width, np.random.default_rng(settings.seed))
        self._number = 0
        self._due = 0.0

    def open(self) -> None:
        """Start the clock of the frame rate."""
        self._closed.clear()
        self._due = time.monotonic()

    def read(self) -> Frame | None:
        """Wait for the time of the next frame; None after the last one."""
        settings = self._settings
        if settings.frames is not None and self._number >= settings.frames:
            return None
        # A late reader gets no burst of frames to catch up.
        self._due = max(self._due + 1 / settings.fps, time.monotonic())
        if self._closed.wait(self._due - time.monotonic()):
            return None
        captured_at = datetime.now(timezone.utc)
        number, self._number = self._number, self._number + 1
        image, planted = self._frame(number)
        shown = f"simulated frame {number}" + (" with a defect" if planted else "")
        return Frame(image, captured_at, self.name, shown, number)

    def close(self) -> None:
        """End a wait in `read`."""
        self._closed.set()

    def _frame(self, number: int) -> tuple[UInt8, bool]:
        settings = self._settings
        rng = np.random.default_rng([settings.seed, number])
        values = np.roll(self._surface, _STEP * number, axis=1) + rng.normal(0, 2.0, self._surface.shape)
        planted = bool(rng.random() < settings.defect_rate)
        if planted:
            values += _blot(settings.height, settings.width, rng)
        grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], settings.channels, axis=2), planted


def _texture(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Low-pass noise around grey level 128, [H, W], which repeats seamlessly."""
    spectrum = np.fft.rfft2(rng.normal(size=(height, width)))
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    texture = np.fft.irfft2(spectrum * np.exp(-((distance / 0.08) ** 2)), s=(height, width))
    return np.asarray(128 + 12 * texture / texture.std())


def _blot(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Something round that is 60 to 90 grey levels darker or brighter, somewhere in [H, W]."""
    radius = rng.uniform(0.02, 0.06) * min(height, width) + 2
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    square = (np.arange(height)[:, None] - y) ** 2 + (np.arange(width)[None, :] - x) ** 2
    return np.asarray(rng.choice([-1.0, 1.0]) * rng.uniform(60, 90) * np.exp(-square / (2 * (radius / 2) ** 2)))

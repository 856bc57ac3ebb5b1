"""What a camera is to a station."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Frame:
    """One picture as the camera gave it.

    image        uint8 [H, W, C], C = 1 (grey) or 3 (BGR); size and channels may change from frame to frame
    captured_at  UTC, at grab
    camera       id of the camera
    source       file name, or the device, address or file it came from, credentials masked
    number       0, 1, … since the camera was first opened; frames that could not be read count
    """

    image: npt.NDArray[np.uint8]
    captured_at: datetime
    camera: str
    source: str
    number: int


class Camera(Protocol):
    """Gives frames one by one. `read` is called from one thread; `close` may come from another and ends a wait."""

    name: str

    def open(self) -> None:
        """Open, or open again after `close`. Raises CameraError."""
        ...

    def read(self) -> Frame | None:
        """Wait for the next frame; None at the end of the input or after `close`.

        Raises ImageError when this one frame is unusable, CameraError when the camera itself failed.
        """
        ...

    def close(self) -> None:
        """Release the camera."""
        ...


def as_hwc(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 [H, W] becomes [H, W, 1]; [H, W, C] stays."""
    return image[:, :, None] if image.ndim == 2 else image

"""What a camera is to a station."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from latentline.errors import ImageError


@dataclass(frozen=True)
class Frame:
    """One picture as the camera gave it.

    image        uint8 [H, W, C], C = 1 (grey) or 3 (BGR); size and channels may change from frame to frame
    captured_at  UTC, at grab
    camera       id of the camera
    source       file name, or the device, address or file it came from, credentials masked
    number       0, 1, … since the camera was first opened; frames that could not be read count
    ticket       by which the camera knows the frame again in `done`; nobody else's business
    """

    image: npt.NDArray[np.uint8]
    captured_at: datetime
    camera: str
    source: str
    number: int
    ticket: object = field(default=None, repr=False, compare=False)


class Idle:
    """Instead of a frame: the source is well and has none at the moment."""


IDLE = Idle()


class BadFrame(ImageError):
    """One frame is unusable; `cause` is counted, e.g. "lost packets"."""

    def __init__(self, sentence: str, cause: str) -> None:
        super().__init__(sentence)
        self.cause = cause


class Camera(Protocol):
    """Gives frames one by one. `open` and `read` are called from one thread, `close` from any."""

    name: str

    def open(self) -> None:
        """Open, or open again after `close`. Raises CameraError."""
        ...

    def read(self) -> Frame | Idle | None:
        """Wait for the next frame; None at the end of the input or after `close`.

        A source that may rightly be silent answers IDLE a few times a second, so that it can be told from one that
        hangs. Raises ImageError when this one frame is unusable, CameraError when the camera itself failed.
        """
        ...

    def close(self) -> None:
        """End a wait in `read` and release the camera; returns at once, even when `read` hangs in a driver."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A camera that wants to know which frames are dealt with, e.g. to move their files."""

    def done(self, frame: Frame) -> None:
        """Nobody needs `frame` again. Called from the thread that reads. Raises CameraError."""
        ...


@runtime_checkable
class Triggerable(Protocol):
    """A camera that takes a frame when told to; until then `read` answers IDLE."""

    def trigger(self) -> None:
        """Take one frame. Called from the thread that reads. Raises CameraError."""
        ...


def as_hwc(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 [H, W] becomes [H, W, 1]; [H, W, C] stays."""
    return image[:, :, None] if image.ndim == 2 else image

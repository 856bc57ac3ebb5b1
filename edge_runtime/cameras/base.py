"""The interface between cameras and the station: frames, and how a camera gives them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from latentline.errors import ImageError
from latentline.vision.bit_depth import Image, UInt8, to_8_bit


@dataclass(frozen=True)
class Frame:
    """One picture as the camera gave it.

    image        uint8 or uint16 [H, W, C], C = 1 (grey) or 3 (BGR); size and channels may change from frame to frame.
                 An inspected one is uint8
    captured_at  UTC, when the frame was taken, as far as the camera can tell; else when it was read
    camera       id of the camera
    source       file name; or the device, address or video file, with credentials masked
    number       0, 1, … since the camera was first opened; unreadable frames count
    ticket       private to the camera, which recognises the frame by it in `done`
    since        time.monotonic() from which the frame has waited; a feed counts its time in the driver, too
    bit_depth    of a uint16 image, as the camera's settings say; None: that of the model
    claimed      bits that the file of a uint16 image claims to have; None: it claims nothing
    """

    image: Image
    captured_at: datetime
    camera: str
    source: str
    number: int
    ticket: object = field(default=None, repr=False, compare=False)
    since: float = field(default_factory=time.monotonic, repr=False, compare=False)
    bit_depth: int | None = None
    claimed: int | None = None

    @property
    def picture(self) -> UInt8:
        """The image as uint8: as it is once the frame was inspected, before that the upper eight bits."""
        return to_8_bit(self.image, "auto")


class Idle:
    """Returned instead of a frame: the source works, but has none at the moment."""


IDLE = Idle()


class BadFrame(ImageError):
    """One frame is unusable. Frames are counted by `cause`, e.g. "lost packets"."""

    def __init__(self, sentence: str, cause: str) -> None:
        super().__init__(sentence)
        self.cause = cause


class Camera(Protocol):
    """A source of frames. One thread calls `open` and `read`; any thread may call `close`."""

    name: str

    def open(self) -> None:
        """Open the camera, also again after `close`. Raises CameraError."""
        ...

    def read(self) -> Frame | Idle | None:
        """Wait for the next frame. Returns None at the end of the input or after `close`.

        A source that may be silent returns IDLE a few times a second, which tells it from one that hangs.
        Raises ImageError if this frame is unusable, CameraError if the camera itself failed.
        """
        ...

    def close(self) -> None:
        """End a wait in `read` and release the camera. Returns at once, even if `read` hangs in a driver."""
        ...


@runtime_checkable
class SupportsDone(Protocol):
    """A camera that keeps track of finished frames, e.g. to move their files."""

    def done(self, frame: Frame) -> None:
        """`frame` is no longer needed. Called by the thread that reads. Raises CameraError."""
        ...


@runtime_checkable
class SupportsTrigger(Protocol):
    """A camera that takes frames on command. Between them `read` returns IDLE."""

    def trigger(self) -> None:
        """Take one frame. Called by the thread that reads. Raises CameraError."""
        ...


def as_hwc(image: Image) -> Image:
    """Turn [H, W] into [H, W, 1]; leave [H, W, C] as it is."""
    return image[:, :, None] if image.ndim == 2 else image

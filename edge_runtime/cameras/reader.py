"""One attempt at a camera: the thread that opens it and reads it, and that may hang in a driver."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from typing import Protocol

import numpy as np

from edge_runtime.cameras.base import BadFrame, Camera, Frame, Idle, Remembering, Triggerable
from edge_runtime.cameras.masking import mask_source
from latentline.errors import CameraError, ImageError

_log = logging.getLogger(__name__)


class Taker(Protocol):
    """Who the reader works for, see `feed.Feed`. Every call may come late, from a reader that was given up."""

    def turn(self, reader: Reader) -> list[Frame] | None:
        """Wait until there is something to do: frames to be finished, or none (then read one); None: end."""
        ...

    def opened(self, reader: Reader) -> None:
        """The camera is open."""
        ...

    def arrived(self, reader: Reader, frame: Frame | Idle) -> None:
        """The camera gave a frame, or a sign that it is well."""
        ...

    def spoilt(self, reader: Reader, cause: str, sentence: str) -> None:
        """The camera gave a frame that cannot be used."""
        ...

    def unfinished(self, sentence: str | None) -> None:
        """A frame could not be marked or moved; None: it could."""
        ...

    def over(self, reader: Reader, error: CameraError | None) -> bool:
        """The input is at its end, or failed. True: go on for the frames that are still to be finished."""
        ...


class Reader:
    """Makes, opens and reads one camera until its taker says stop.

    sign   monotonic time of the last proof that the camera works, without the time it waited for its taker, who
           keeps it
    asked  whether the frame that is being read was asked for by a trigger; the taker keeps it
    busy   whether it is in a call to the camera; a reader that waits for its taker is not
    """

    def __init__(self, name: str, make: Callable[[], Camera], taker: Taker) -> None:
        self._make, self._taker = make, taker
        self._name = name
        self._camera: Camera | None = None
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self.sign = time.monotonic()
        self.asked = False
        self.busy = True
        self.is_open = False

    def start(self) -> None:
        """Begin."""
        self.sign = time.monotonic()
        self._thread.start()

    def close(self) -> None:
        """Close the camera, which ends a wait in it, unless it hangs."""
        if self._camera is not None:
            self._camera.close()

    def join(self, timeout: float) -> None:
        """Wait for the thread."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))

    @property
    def alive(self) -> bool:
        """Whether the thread still runs, or hangs."""
        return self._thread.is_alive()

    @property
    def remembers(self) -> bool:
        """Whether the camera keeps account of the frames that were finished."""
        return isinstance(self._camera, Remembering)

    def _run(self) -> None:
        try:
            self._camera = self._make()
            self._camera.open()
            self._taker.opened(self)
            self._work(self._camera)
        except CameraError as error:
            self._fail(error)
        except Exception as error:
            # A driver's own exception is a camera that failed, too. Its text may hold the address with the password.
            _log.error("camera %s: %s", self._name, mask_source(traceback.format_exc()))
            self._fail(CameraError(mask_source(f"camera {self._name}: {type(error).__name__}: {error}")))
        finally:
            self.close()

    def _fail(self, error: CameraError) -> None:
        if self._taker.over(self, error) and self._camera is not None:
            self._finish_the_rest(self._camera)

    def _work(self, camera: Camera) -> None:
        while (finished := self._taker.turn(self)) is not None:
            if finished:
                self._finish(camera, finished)
            elif not self._read(camera):
                if self._taker.over(self, None):
                    self._finish_the_rest(camera)
                return

    def _read(self, camera: Camera) -> bool:
        """Read once; False at the end of the input."""
        try:
            if self.asked and isinstance(camera, Triggerable):
                camera.trigger()
            frame = camera.read()
            while self.asked and isinstance(frame, Idle) and isinstance(camera, Triggerable):
                frame = camera.read()  # the exposure that was just asked for
            if isinstance(frame, Frame):
                _check(frame)
        except ImageError as error:
            cause = error.cause if isinstance(error, BadFrame) else "unreadable"
            self._taker.spoilt(self, cause, str(error))
            return True
        if frame is None:
            return False
        self._taker.arrived(self, frame)
        return True

    def _finish_the_rest(self, camera: Camera) -> None:
        while (finished := self._taker.turn(self)) is not None:
            self._finish(camera, finished)

    def _finish(self, camera: Camera, frames: list[Frame]) -> None:
        if not isinstance(camera, Remembering):
            return
        for frame in frames:
            try:
                camera.done(frame)
            except CameraError as error:
                self._taker.unfinished(str(error))
            else:
                self._taker.unfinished(None)


def _check(frame: Frame) -> None:
    """Raise BadFrame for what is no picture: a driver's garbage must not reach the inspector."""
    image = frame.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise BadFrame(f"camera {frame.camera}: a frame is not made of bytes", "garbage")
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise BadFrame(f"camera {frame.camera}: a frame has the shape {list(image.shape)}", "garbage")

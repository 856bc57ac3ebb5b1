"""The thread that opens and reads a camera. It may hang in the driver, and is then left behind."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from edge_runtime.cameras.base import BadFrame, Camera, Frame, Idle, SupportsDone, SupportsTrigger, SupportsWarnings
from edge_runtime.cameras.still_picture import StillPicture
from latentline.base.secrets import Secrets
from latentline.errors import CameraError, ImageError

_log = logging.getLogger(__name__)


class ReaderListener(Protocol):
    """Gives work to a reader and receives its frames; implemented by Feed.

    A call may come late, from a reader that was given up in the meantime.
    """

    def next_work(self, reader: Reader) -> list[Frame] | None:
        """Wait for work: frames that are finished; an empty list to read a frame; None to stop."""
        ...

    def opened(self, reader: Reader) -> None:
        """The camera is open."""
        ...

    def received(self, reader: Reader, frame: Frame | Idle) -> None:
        """The camera gave a frame, or the sign that it works but has none."""
        ...

    def bad_frame(self, reader: Reader, cause: str, sentence: str) -> None:
        """The camera gave an unusable frame."""
        ...

    def warn(self, kind: str, sentence: str | None) -> None:
        """The camera works, and has a trouble of this `kind`; None: it no longer has it.

        Kind "done": the file of a frame could not be marked or moved.
        """
        ...

    def input_ended(self, reader: Reader, error: CameraError | None) -> bool:
        """The input has ended or failed. Returns whether to stay for frames that will be finished later."""
        ...


class Reader:
    """Makes, opens and reads one camera until its listener has no more work for it.

    The listener sets these, under its lock:
    last_activity  time.monotonic() of the last sign that the camera works, moved on by the time the reader waited
                   for work
    triggered      whether the frame being read is the answer to a trigger
    busy           whether the reader is in a call to the camera, not waiting for work
    is_open        whether the camera is open

    secrets         texts that no message about the camera may hold
    frozen_seconds  after which equal pictures are a trouble of the kind "frozen"; None: never
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Camera],
        listener: ReaderListener,
        secrets: Iterable[str] = (),
        frozen_seconds: float | None = None,
    ) -> None:
        self._make, self._listener, self._secrets = make, listener, Secrets(secrets)
        self._name = name
        self._still = None if frozen_seconds is None else StillPicture(name, frozen_seconds)
        self._camera: Camera | None = None
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self.last_activity = time.monotonic()
        self.triggered = False
        self.busy = True
        self.is_open = False

    def start(self) -> None:
        """Open and read the camera, in a thread. Raises RuntimeError if none can be started."""
        self.last_activity = time.monotonic()
        self._thread.start()

    def close(self) -> None:
        """Close the camera, which ends a wait for a frame, unless the driver hangs."""
        if self._camera is not None:
            self._camera.close()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, `timeout` seconds at most."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))

    @property
    def alive(self) -> bool:
        """Whether the thread runs or hangs."""
        return self._thread.is_alive()

    @property
    def supports_done(self) -> bool:
        """Whether the camera keeps track of finished frames."""
        return isinstance(self._camera, SupportsDone)

    def _run(self) -> None:
        try:
            self._camera = self._make()
            self._camera.open()
            self._listener.opened(self)
            self._serve(self._camera)
        except CameraError as error:
            self._fail(str(error))
        except BaseException as error:
            # Any other exception is a failure of the camera, SystemExit too, which would end this thread without a
            # word. Its text may contain an address with a password.
            _log.error("camera %s: %s", self._name, self._secrets.hide(traceback.format_exc()))
            self._fail(f"camera {self._name}: {type(error).__name__}: {error}")
        finally:
            self.close()

    def _fail(self, sentence: str) -> None:
        error = CameraError(self._secrets.hide(sentence))
        if self._listener.input_ended(self, error) and self._camera is not None:
            self._finish_remaining(self._camera)

    def _serve(self, camera: Camera) -> None:
        while (finished := self._listener.next_work(self)) is not None:
            if finished:
                self._finish(camera, finished)
            elif not self._read(camera):
                if self._listener.input_ended(self, None):
                    self._finish_remaining(camera)
                return

    def _read(self, camera: Camera) -> bool:
        """Read one frame. False at the end of the input."""
        try:
            if self.triggered and isinstance(camera, SupportsTrigger):
                camera.trigger()
            frame = camera.read()
            while self.triggered and isinstance(frame, Idle) and isinstance(camera, SupportsTrigger):
                frame = camera.read()  # until the triggered frame arrives
            if isinstance(frame, Frame):
                _check(frame)
                if self._still is not None:
                    self._listener.warn("frozen", self._still.trouble(frame))
        except ImageError as error:
            cause = error.cause if isinstance(error, BadFrame) else "unreadable"
            self._listener.bad_frame(self, cause, self._secrets.hide(str(error)))
            return True
        finally:
            self._warn(camera)
        if frame is None:
            return False
        self._listener.received(self, frame)
        return True

    def _warn(self, camera: Camera) -> None:
        if isinstance(camera, SupportsWarnings):
            for kind, sentence in camera.warnings().items():
                self._listener.warn(kind, sentence)

    def _finish_remaining(self, camera: Camera) -> None:
        while (finished := self._listener.next_work(self)) is not None:
            self._finish(camera, finished)

    def _finish(self, camera: Camera, frames: list[Frame]) -> None:
        if not isinstance(camera, SupportsDone):
            return
        for frame in frames:
            try:
                camera.done(frame)
            except CameraError as error:
                self._listener.warn("done", str(error))
            else:
                self._listener.warn("done", None)


def _check(frame: Frame) -> None:
    """Raise BadFrame unless the frame is an image: garbage from a driver must not reach the inspector."""
    image = frame.image
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        raise BadFrame(f"camera {frame.camera}: a frame is not of type uint8 or uint16", "garbage")
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise BadFrame(f"camera {frame.camera}: a frame has the shape {list(image.shape)}", "garbage")

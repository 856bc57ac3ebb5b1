"""The camera thread and its hand-over to the inspector: the newest frame only, or every frame."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from edge_runtime.backoff import Backoff
from edge_runtime.cameras.base import Camera, Frame, Idle
from latentline.errors import CameraError, ImageError

_log = logging.getLogger(__name__)
_WAITING_FRAMES = 4  # lossless: so many frames wait at most, then the camera thread does


class CameraFeed:
    """Reads `camera` in its own thread, from `start` to the end of the input or `close`.

    lossless   True: frames wait in a short queue, and the camera waits when it is full.
               False: one slot; a newer frame replaces the one that nobody took, which counts as dropped.
    live       True: a camera that fails is closed and opened again, with pauses that double.
               False: a failure ends the input and stays in `error`.
    on_fault   called with a sentence when the camera fails, with None when it gives frames again
    """

    def __init__(
        self,
        camera: Camera,
        *,
        lossless: bool,
        live: bool,
        backoff: Backoff,
        on_fault: Callable[[str | None], None],
    ) -> None:
        self._camera = camera
        self._capacity = _WAITING_FRAMES if lossless else 1
        self._lossless, self._live = lossless, live
        self._backoff = backoff
        self._on_fault = on_fault
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._ended = False
        self._last_sign = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"camera {camera.name}", daemon=True)
        self.frames = 0
        self.bad_frames = 0
        self.reopened = 0
        self.dropped: Counter[str] = Counter()
        self.error: CameraError | None = None

    def start(self) -> None:
        """Open the camera and begin to read. Raises CameraError when it does not open."""
        self._camera.open()
        self._last_sign = time.monotonic()
        self._thread.start()

    def get(self, timeout: float) -> Frame | None:
        """The next frame, or None after `timeout` seconds without one or at the end (see `ended`)."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._ended, timeout)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    @property
    def ended(self) -> bool:
        """Whether the input is over and every frame of it was taken."""
        with self._changed:
            return self._ended and not self._frames

    @property
    def silent_seconds(self) -> float:
        """Seconds since the camera last gave a frame, or since it was opened; 0 while it waits for the inspector."""
        with self._changed:
            return 0.0 if self._frames or self._ended else time.monotonic() - self._last_sign

    def close(self, timeout: float = 5.0) -> None:
        """Stop reading and release the camera; frames nobody took count as dropped."""
        self._closing.set()
        self._camera.close()
        with self._changed:
            self.dropped["station stopped"] += len(self._frames)
            self._frames.clear()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)
            if self._thread.is_alive():
                _log.warning("camera %s hangs in a read; it is left behind", self._camera.name)

    def _run(self) -> None:
        try:
            while not self._closing.is_set() and self._step():
                pass
        except Exception as error:
            # A fault of ours or of a driver must not look like a camera that has nothing to say.
            _log.exception("camera %s: the camera thread failed", self._camera.name)
            self.error = CameraError(f"camera {self._camera.name}: {type(error).__name__}: {error}")
        finally:
            self._camera.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _step(self) -> bool:
        """Read one frame; False at the end of the input."""
        try:
            frame = self._camera.read()
        except ImageError as error:
            self.bad_frames += 1
            self._last_sign = time.monotonic()
            _log.warning("skipped: %s", error)
            return True
        except CameraError as error:
            return self._failed(error)
        except Exception as error:
            # A driver's own exception is a camera that failed, too; a live one gets another chance.
            _log.exception("camera %s: unexpected error", self._camera.name)
            return self._failed(CameraError(f"camera {self._camera.name}: {type(error).__name__}: {error}"))
        if frame is None:
            return False
        if isinstance(frame, Idle):
            return True
        self._backoff.reset()
        self._on_fault(None)
        self._hand_over(frame)
        return True

    def _failed(self, error: CameraError) -> bool:
        """Open a live camera again, as often as it takes; False when the input is over."""
        if self._closing.is_set():
            return False
        if not self._live:
            self.error = error
            return False
        self._camera.close()
        self._on_fault(str(error))
        while not self._closing.wait(self._backoff.pause()):
            try:
                self._camera.open()
            except CameraError as reason:
                self._on_fault(str(reason))
                continue
            self.reopened += 1
            return True
        return False

    def _hand_over(self, frame: Frame) -> None:
        with self._changed:
            self.frames += 1
            self._last_sign = time.monotonic()
            if self._lossless:
                self._changed.wait_for(lambda: len(self._frames) < self._capacity or self._closing.is_set())
            elif self._frames:
                self._frames.clear()
                self.dropped["newer frame"] += 1
            if self._closing.is_set():
                self.dropped["station stopped"] += 1
                return
            self._frames.append(frame)
            self._changed.notify_all()

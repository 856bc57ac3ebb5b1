"""A thread that must not be missing: when it cannot be started, or dies, it is started again."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)
_DEATHS = 5  # the newest, kept


class KeptThread:
    """Does `work` in a daemon thread. `start` never raises; `keep`, called now and then, starts the thread again.

    Any thread may call.

    work   returns when nothing is left to do, which ends the thread for good; an exception is the death of the thread
    clock  seconds, monotonic
    """

    def __init__(self, name: str, work: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._work, self._clock = work, clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started = self._done = False
        self._missing_since: float | None = None
        self._refusal = ""
        self._cause = "it gave no reason"
        self._deaths: deque[float] = deque(maxlen=_DEATHS)

    def start(self) -> None:
        """Start the thread, now or with a later `keep`."""
        with self._lock:
            self._started = True
        self.keep()

    def keep(self) -> None:
        """Start the thread again, unless it runs, has done its work, or was never to start."""
        with self._lock:
            if not self._started or self._done or self.alive:
                return
            died, was_missing = self._thread is not None, self._missing_since is not None
            if died:
                self._thread = None
                self._deaths.append(self._clock())
            missing = not self._start()
        # Not while the lock is held: a log may hang.
        if died:
            _log.error("the thread %r died (%s); it is started again", self.name, self._cause)
        if missing and not was_missing:
            _log.warning("the thread %r cannot be started (%s); it is tried again", self.name, self._refusal)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def missing_seconds(self) -> float:
        """For how long the thread could not be started; 0 when it could."""
        since = self._missing_since
        return 0.0 if since is None else self._clock() - since

    def deaths_within(self, seconds: float) -> int:
        """How often it died in the last `seconds`; no more than the newest five deaths count."""
        return sum(self._clock() - at <= seconds for at in list(self._deaths))

    def fault(self, seconds: float) -> str | None:
        """What is wrong with the thread, or was in the last `seconds`; None: nothing."""
        if self._missing_since is not None:
            return f"the thread '{self.name}' cannot be started ({self._refusal}); the station tries again"
        if self.deaths_within(seconds):
            return f"the thread '{self.name}' died ({self._cause}) and was started again"
        return None

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, `timeout` seconds at most."""
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, timeout))

    def _start(self) -> bool:
        """Start the thread; False if there is none to be had. The caller holds the lock."""
        thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:  # too many threads, or no memory for one
            self._refusal = str(error) or type(error).__name__
            if self._missing_since is None:
                self._missing_since = self._clock()
            return False
        self._thread, self._missing_since = thread, None
        return True

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # SystemExit, too: nobody may end this thread but its work
            self._cause = f"{type(error).__name__}: {error}"
            _log.exception("the thread %r failed", self.name)
        else:
            self._done = True

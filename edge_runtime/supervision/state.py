"""The state machine of a station: starting -> online <-> degraded -> stopped."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import Literal

State = Literal["starting", "online", "degraded", "stopped"]

_log = logging.getLogger(__name__)
_NUMBER = re.compile(r"\d+")
_MOST_WORDINGS = 10  # of one fault that are logged


class Health:
    """Faults by code, e.g. {"camera.top": "camera top: device 0 gives no frame"}, and the state that follows from them.

    The state is `starting` until `ready`, then `online` without a fault and `degraded` with one, and finally `stopped`
    after `stopping`. Any thread may call.

    on_change  called with the state and all faults when either changes, one call at a time and in order. Not called for
               `stopped`, which the station publishes last. Must not call this object, nor wait for anything
    """

    def __init__(self, on_change: Callable[[State, Mapping[str, str]], None]) -> None:
        self._on_change = on_change
        self._faults: dict[str, str] = {}
        self._wordings: dict[str, set[str]] = {}  # of each fault's sentences, without their numbers
        self._phase: Literal["starting", "running", "stopped"] = "starting"
        self._lock = threading.Lock()

    def fault(self, code: str, sentence: str | None) -> None:
        """Report a fault, or with None that it is over."""
        with self._lock:
            known = self._faults.get(code)
            if known == sentence:
                return
            if sentence is None:
                del self._faults[code], self._wordings[code]
            else:
                self._faults[code] = sentence
            new = sentence is not None and self._is_new(code, sentence)
            self._changed()
        # Not while the lock is held: a log may hang, and must not hide the state.
        if sentence is None:
            _log.info("%s: the fault is over", code, extra={"code": code})
        elif new:
            _log.warning("%s", sentence, extra={"code": code})

    def _is_new(self, code: str, sentence: str) -> bool:
        """Whether the log has to have this sentence: a fault may turn out to have another cause."""
        wordings = self._wordings.setdefault(code, set())
        wording = _NUMBER.sub("0", sentence)
        if wording in wordings or len(wordings) >= _MOST_WORDINGS:
            return False
        wordings.add(wording)
        return True

    def ready(self) -> None:
        """The station inspects frames from now on. Without effect unless `starting`."""
        with self._lock:
            if self._phase == "starting":
                self._phase = "running"
                self._changed()

    def stopping(self) -> None:
        """The station stops. It stays `stopped`."""
        with self._lock:
            self._phase = "stopped"

    @property
    def state(self) -> State:
        """The present state."""
        with self._lock:
            return self._state()

    @property
    def faults(self) -> Mapping[str, str]:
        """A copy of the present faults."""
        with self._lock:
            return dict(self._faults)

    def _state(self) -> State:
        if self._phase == "running":
            return "degraded" if self._faults else "online"
        return self._phase

    def _changed(self) -> None:
        if self._phase != "stopped":
            self._on_change(self._state(), dict(self._faults))

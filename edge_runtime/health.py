"""What is wrong at the moment, by the name of the part. Nothing wrong: online, otherwise degraded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)


class Health:
    """Faults by code, e.g. {"camera": "camera top: device 0 gives no frame"}. Any thread may report.

    `on_change` is called with all faults whenever one comes, goes or reads differently, one call at a time.
    """

    def __init__(self, on_change: Callable[[Mapping[str, str]], None]) -> None:
        self._on_change = on_change
        self._faults: dict[str, str] = {}
        self._lock = threading.Lock()

    def fault(self, code: str, sentence: str | None) -> None:
        """Say that `code` is wrong, or with None that it is right again."""
        with self._lock:
            known = self._faults.get(code)
            if known == sentence:
                return
            if sentence is None:
                del self._faults[code]
                _log.info("%s: right again", code)
            else:
                self._faults[code] = sentence
                if known is None:
                    _log.warning("%s", sentence)
            self._on_change(dict(self._faults))

    @property
    def faults(self) -> Mapping[str, str]:
        """A copy of the present faults."""
        with self._lock:
            return dict(self._faults)

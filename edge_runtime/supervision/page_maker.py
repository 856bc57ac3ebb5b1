"""Makes one page in a thread of its own, so that a page that hangs blocks neither another page nor a client."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.kept_thread import KeptThread

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """The answer to a request."""

    status: int
    content_type: str
    body: bytes


class PageMaker:
    """Makes the page of `path`, one after another. The thread exists before a request comes: later there may be none.

    page  makes it; an exception becomes an error page
    """

    def __init__(self, path: str, page: Callable[[], Page]) -> None:
        self._path, self._page = path, page
        self._asked: queue.SimpleQueue[Callable[[Page], None] | None] = queue.SimpleQueue()
        self.thread = KeptThread(f"http {path}", self._run)

    def ready(self) -> bool:
        """Whether there is a thread, after one more try to start one that is missing."""
        self.thread.keep()
        return self.thread.alive

    def make(self, deliver: Callable[[Page], None]) -> None:
        """Make the page and call `deliver` with it, in the thread."""
        self._asked.put(deliver)

    def close(self) -> None:
        """End the thread, unless its page hangs."""
        self._asked.put(None)
        self.thread.join(0.2)

    def _run(self) -> None:
        while (deliver := self._asked.get()) is not None:
            page = Page(500, "text/plain; charset=utf-8", b"Internal Server Error\n")
            try:
                page = self._page()
            except Exception:
                _log.exception("page %s failed", self._path)
            finally:  # also when this thread dies: somebody waits for the page
                deliver(page)

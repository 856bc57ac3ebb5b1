"""The operator page in threads of its own. Whatever happens to it, the station inspects."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_runtime.kept_thread import KeptThread
from edge_runtime.page.live import LiveFeed
from edge_runtime.page.settings import PageSection
from edge_runtime.page.station_view import StationView
from edge_runtime.supervision.thread_watch import ThreadWatch
from latentline.errors import LatentlineError

if TYPE_CHECKING:
    from edge_runtime.page.server import PageServer

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 10.0


class OperatorPage:
    """Serves the page from `start` to `close`, and tries again every ten seconds while it cannot.

    fault  gets the code `page` with a sentence while there is no page, and `threads.page` while one of its threads is
           missing
    """

    def __init__(self, settings: PageSection, station: StationView, fault: Callable[[str, str | None], None]) -> None:
        self._settings, self._station, self._fault = settings, station, fault
        self._closing = threading.Event()
        self._server: PageServer | None = None
        self.feed = LiveFeed(station.latest, station.snapshot)
        self._thread = KeptThread("page", self._run)
        # No thread of the page is worth a restart of the station.
        self._watch = ThreadWatch(fault, lambda sentence: None, "threads.page")
        self._watch.add(self._thread, *self.feed.threads)

    def start(self) -> None:
        """Start to serve. Never raises, never waits."""
        self._thread.start()
        self.feed.start()

    def check(self) -> None:
        """Start threads again that are missing. For the supervisor, about every second."""
        if not self._closing.is_set():
            self._watch.check()

    @property
    def address(self) -> tuple[str, int] | None:
        """Where the page answers; None while it does not."""
        server = self._server
        return None if server is None else server.address

    def forget_scores(self) -> None:
        """Another model judges from now on. For the station's thread."""
        self._station.latest.forget_scores()

    def close(self) -> None:
        """End the page. A thread that hangs is left behind."""
        self._closing.set()
        if (server := self._server) is not None:
            server.stop()
        self._thread.join(1.5)
        self.feed.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._serve()
                reason = "it ended by itself"
            except LatentlineError as error:
                reason = str(error)
            except ImportError as error:
                reason = f"{error.name} is not installed; install latentline with the extra `page`"
            except OSError as error:
                where = f"page.host, page.port: {self._settings.host}:{self._settings.port}"
                reason = f"{where} cannot be used ({error.strerror or error})"
            except (Exception, SystemExit) as error:
                _log.exception("the operator page failed")
                reason = f"{type(error).__name__}: {error}"
            self._server = None
            if not self._closing.is_set():
                self._fault("page", f"there is no operator page: {reason}")
                self._closing.wait(_RETRY_SECONDS)

    def _serve(self) -> None:
        from edge_runtime.page.server import PageServer  # needs the extra

        settings = self._settings
        if settings.tls is None and not settings.on_loopback:
            _log.warning(
                "the operator page is open to the network at %s without TLS, as page.insecure says: passwords and "
                "pictures can be read on the way",
                settings.host,
            )
        self._server = server = PageServer(settings, self._station, self.feed)
        if self._closing.is_set():
            server.stop()
        server.run(lambda: self._fault("page", None))

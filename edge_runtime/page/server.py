"""The web server of the page: uvicorn with bounds, on a socket that is opened here."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from edge_runtime.page.app import build_app
from edge_runtime.page.context import PageContext
from edge_runtime.page.live import LiveFeed
from edge_runtime.page.settings import PageSection
from edge_runtime.page.station_view import StationView
from latentline.errors import ConfigError

_CONNECTIONS = 128  # and requests, together; further ones get a 503
_HEAD_BYTES = 16 << 10
_HEAD_SECONDS = 10.0  # for the head of a request
_SILENT_MS = 15_000  # a browser that takes no data for so long is cut


class PageServer:
    """One run of the server. Raises ConfigError for settings that do not work here, OSError for the address.

    feed  of the live view
    """

    def __init__(self, settings: PageSection, station: StationView, feed: LiveFeed) -> None:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self._context = PageContext(settings, station, feed)
        self._tls = settings.tls
        self._config = uvicorn.Config(
            build_app(self._context),
            http=_TimedProtocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            backlog=_CONNECTIONS,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
            ssl_certfile=None if self._tls is None else self._tls.certificate,
            ssl_keyfile=None if self._tls is None else self._tls.key,
        )
        self._server = uvicorn.Server(self._config)
        self._socket = _listen(settings.host, settings.port)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]

    def run(self, started: Callable[[], None]) -> None:
        """Serve until `stop`; calls `started` when the page answers."""
        with self._socket:
            self._load()
            asyncio.run(self._main(started))

    def stop(self) -> None:
        """End `run` soon. Any thread may call."""
        self._context.closing.set()
        self._server.should_exit = True

    async def _main(self, started: Callable[[], None]) -> None:
        self._context.attach(asyncio.get_running_loop())
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not (self._server.started or serving.done()):
            await asyncio.sleep(0.01)
        if self._server.started:
            started()
        await serving

    def _load(self) -> None:
        try:
            self._config.load()
        except (OSError, ssl.SSLError) as error:
            assert self._tls is not None
            reason = getattr(error, "reason", None) or error.strerror or error
            raise ConfigError(
                f"page.tls: {self._tls.certificate} and {self._tls.key} cannot be used ({reason}); give a certificate "
                "and its key, both PEM and without a password"
            ) from None


class _TimedProtocol(H11Protocol):
    """Cuts a connection that does not say what it wants, at first or after an answer."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(_HEAD_SECONDS, self._cut_if_silent, self.cycle)

    def _cut_if_silent(self, last: RequestResponseCycle | None) -> None:
        """Cut when no request has come since the one called `last`; else look again later."""
        if self.transport.is_closing():
            return
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self.cycle is last:
            self.transport.abort()
        else:
            self.loop.call_later(_HEAD_SECONDS, self._cut_if_silent, self.cycle)


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted sockets inherit it
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_MS)
        listening.bind(address)
    except OSError:
        listening.close()
        raise
    return listening

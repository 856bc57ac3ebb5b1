"""Serves a few read-only pages over HTTP/1.1 in one thread that no client can block.

Each connection gets one answer and is cut after a few seconds, however slow its client is. At most _CLIENTS at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from edge_runtime.pacing import RateLimitedLog
from edge_runtime.supervision.host_header import is_own, own_names

_log = logging.getLogger(__name__)
_CLIENTS = 16
_HEAD_BYTES = 8192
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Limits:
    """Seconds. client: for a connection; page: until a page that hangs is a 503; retry: between tries of the port."""

    client: float = 5.0
    page: float = 2.0
    retry: float = 10.0


@dataclass(frozen=True)
class Page:
    """The answer to a request."""

    status: int
    content_type: str
    body: bytes


class HttpEndpoint:
    """Serves `pages` (by path; called for each request) to GET.

    port      0: any free port, see `address`
    on_fault  called with the code `http` and a sentence when the address cannot be used, and with None when it can.
              The endpoint tries the address until it can
    names     by which the pages may be asked, besides addresses, `host`, localhost and the machine's name
    """

    def __init__(
        self,
        host: str,
        port: int,
        pages: Mapping[str, Callable[[], Page]],
        on_fault: Callable[[str, str | None], None],
        limits: Limits | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self._host, self._port, self._pages, self._on_fault = host, port, pages, on_fault
        self._limits = limits or Limits()
        self._names = own_names((host, *names))
        self._running: dict[str, asyncio.Future[Page]] = {}  # pages that are being made
        self._clients = 0
        self._log = RateLimitedLog(_log)
        self._started, self._closing = threading.Event(), threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self.address: tuple[str, int] | None = None  # while it listens

    def start(self) -> None:
        """Start to listen."""
        self._thread.start()
        self._started.wait()

    def close(self) -> None:
        """Cut all connections and stop."""
        self._closing.set()
        if self._thread.is_alive():
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(1.0)

    # ---- the thread "http"

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                asyncio.run(self._main())
                return
            except OSError as error:  # not even an event loop: no descriptors are left
                self._cannot(error.strerror or str(error))
                self._started.set()
                self._closing.wait(self._limits.retry)

    def _cannot(self, reason: str) -> None:
        where = f"supervision.http_port: {self._host}:{self._port} cannot be used"
        self._on_fault("http", f"{where} ({reason}); metrics and health pages are off until it can")

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._failed)
        self._started.set()
        while not self._end.is_set():
            try:
                server = await asyncio.start_server(self._client, self._host, self._port, limit=_HEAD_BYTES)
            except OSError as error:
                # asyncio's message repeats the address; an unknown host name has no errno of the system.
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
                self._cannot(reason)
                await _wait(self._end, self._limits.retry)
                continue
            if not server.sockets:  # asyncio swallows that no socket could be made
                self._cannot("no socket can be made; are too many files open?")
                await _wait(self._end, self._limits.retry)
                continue
            self.address = server.sockets[0].getsockname()[:2]
            self._on_fault("http", None)
            await self._end.wait()
            server.close()  # asyncio.run cancels the requests that are left

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Log what asyncio would log with a traceback: above all, that no descriptor is left for a client."""
        error = context.get("exception")
        self._log.warning(f"pages: {context.get('message')} ({getattr(error, 'strerror', None) or error})")

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= _CLIENTS:
                await asyncio.wait_for(self._exchange(reader, writer), self._limits.client)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, OSError):
            pass  # the client was too slow or has gone
        finally:
            self._clients -= 1
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            page = _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            page = await self._answer(request)
        status = HTTPStatus(page.status)
        head = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Type: {page.content_type}"]
        head += [f"Content-Length: {len(page.body)}", "Connection: close", "Cache-Control: no-store"]
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            head.append("Allow: GET")
        writer.write("\r\n".join([*head, "", ""]).encode() + page.body)
        writer.close()
        await writer.wait_closed()

    async def _answer(self, head: bytes) -> Page:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _plain(HTTPStatus.BAD_REQUEST)
        if not is_own(head, self._names):
            return _plain(HTTPStatus.MISDIRECTED_REQUEST)
        method, target, _ = words
        path = target.partition("?")[0]
        if path not in self._pages:
            return _plain(HTTPStatus.NOT_FOUND)
        if method != "GET":
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            return await asyncio.wait_for(asyncio.shield(self._page(path)), self._limits.page)
        except asyncio.TimeoutError:
            return Page(503, _TEXT, b"the station does not answer\n")

    def _page(self, path: str) -> asyncio.Future[Page]:
        """Make the page in a thread of its own. Requests share a page in the making, so a hang costs one thread."""
        if path not in self._running:
            assert self._loop is not None  # this runs in it
            self._running[path] = self._loop.create_future()
            threading.Thread(target=self._make_page, args=(path,), name=f"http {path}", daemon=True).start()
        return self._running[path]

    def _make_page(self, path: str) -> None:
        try:
            page = self._pages[path]()
        except Exception:
            _log.exception("page %s failed", path)
            page = _plain(HTTPStatus.INTERNAL_SERVER_ERROR)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._running.pop(path).set_result(page))


def _plain(status: HTTPStatus) -> Page:
    return Page(status.value, _TEXT, f"{status.phrase}\n".encode())


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return

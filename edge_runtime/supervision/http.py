"""Serves a few read-only pages over HTTP/1.1 in one thread that no client can block, and one for each page.

Each connection gets one answer and is cut after a few seconds, however slow its client is. At most _CLIENTS at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from edge_runtime.kept_thread import KeptThread
from edge_runtime.pacing import RateLimitedLog
from edge_runtime.supervision.host_header import is_own, own_names
from edge_runtime.supervision.page_maker import Page, PageMaker

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
        self._host, self._port, self._on_fault = host, port, on_fault
        self._makers = {path: PageMaker(path, make) for path, make in pages.items()}
        self._limits = limits or Limits()
        self._names = own_names((host, *names))
        self._running: dict[str, asyncio.Future[Page]] = {}  # pages that are being made
        self._clients = 0
        self._log = RateLimitedLog(_log)
        self._closing = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()  # of this loop
        self._thread = KeptThread("http", self._run)
        self.address: tuple[str, int] | None = None  # while it listens

    @property
    def threads(self) -> list[KeptThread]:
        """The threads that serve."""
        return [self._thread, *(maker.thread for maker in self._makers.values())]

    def start(self) -> None:
        """Start to listen."""
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        """Cut all connections and stop. A page that hangs is left behind."""
        self._closing.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(1.0)
        for maker in self._makers.values():
            maker.close()

    # ---- the thread "http"

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                asyncio.run(self._main())
                return
            except OSError as error:  # not even an event loop: no descriptors are left
                self._cannot(error.strerror or str(error))
                self._closing.wait(self._limits.retry)

    def _cannot(self, reason: str) -> None:
        where = f"supervision.http_port: {self._host}:{self._port} cannot be used"
        self._on_fault("http", f"{where} ({reason}); metrics and health pages are off until it can")

    async def _main(self) -> None:
        end = self._end = asyncio.Event()
        self._running.clear()
        self._loop = asyncio.get_running_loop()  # before `_closing` is read: `close` reads them the other way round
        self._loop.set_exception_handler(self._failed)
        while not (end.is_set() or self._closing.is_set()):
            try:
                server = await asyncio.start_server(self._client, self._host, self._port, limit=_HEAD_BYTES)
            except OSError as error:
                # asyncio's message repeats the address; an unknown host name has no errno of the system.
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
                self._cannot(reason)
                await _wait(end, self._limits.retry)
                continue
            except RuntimeError as error:  # no thread to look up the name of the host
                self._cannot(str(error))
                await _wait(end, self._limits.retry)
                continue
            if not server.sockets:  # asyncio swallows that no socket could be made
                self._cannot("no socket can be made; are too many files open?")
                await _wait(end, self._limits.retry)
                continue
            self.address = server.sockets[0].getsockname()[:2]
            self._on_fault("http", None)
            await end.wait()
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
        if path not in self._makers:
            return _plain(HTTPStatus.NOT_FOUND)
        if method != "GET":
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            return await asyncio.wait_for(asyncio.shield(self._page(path)), self._limits.page)
        except asyncio.TimeoutError:
            return Page(503, _TEXT, b"the station does not answer\n")

    def _page(self, path: str) -> asyncio.Future[Page]:
        """Make the page in its thread. Requests share a page in the making, so a hang costs one thread."""
        maker = self._makers[path]
        if not maker.ready():
            self._running.pop(path, None)  # its thread died with it
            lost: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
            lost.set_result(Page(503, _TEXT, b"no thread can be started to make this page\n"))
            return lost
        if path not in self._running:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Page] = loop.create_future()
            self._running[path] = future

            def deliver(page: Page) -> None:
                with suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(self._made, path, future, page)

            maker.make(deliver)
        return self._running[path]

    def _made(self, path: str, future: asyncio.Future[Page], page: Page) -> None:
        if self._running.get(path) is future:
            del self._running[path]
        if not future.done():
            future.set_result(page)


def _plain(status: HTTPStatus) -> Page:
    return Page(status.value, _TEXT, f"{status.phrase}\n".encode())


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return

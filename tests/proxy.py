"""A TCP proxy that misbehaves on command: a bad network between a station and its broker, in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

_CHUNK = 4096


@dataclass(eq=False)
class _Link:
    station: asyncio.StreamWriter
    broker: asyncio.StreamWriter | None
    swallows: bool = False

    def abort(self) -> None:
        for writer in (self.station, self.broker):
            if writer is not None:
                writer.transport.abort()


class Proxy:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target`. Every command takes effect at once, also on open connections.

    delay        seconds by which each chunk is delayed
    throttle     bytes per second in each direction; 0: no limit
    connections  number accepted so far
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._swallowing = False
        self.delay, self.throttle = 0.0, 0.0
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._passable = asyncio.Event()
        self._passable.set()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection. New ones are let through."""
        self._do(self._cut)

    def black_hole(self) -> None:
        """Let nothing through in either direction, and lose nothing. New connections are accepted and stay silent."""
        self._do(self._passable.clear)

    def half_open(self) -> None:
        """Drop the connections to the broker without telling the station, whose bytes are taken and never answered."""

        def begin() -> None:
            self._swallowing = True
            for link in self._links:
                link.swallows = True
                if link.broker is not None:
                    link.broker.transport.abort()

        self._do(begin)

    def heal(self) -> None:
        """Be a good network again. What was swallowed is lost, and so are the connections that lost it."""

        def end() -> None:
            self._swallowing = False
            self.delay = self.throttle = 0.0
            self._passable.set()
            for link in [link for link in self._links if link.swallows]:
                link.abort()

        self._do(end)

    def _do(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    def _cut(self) -> None:
        for link in self._links:
            link.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        link = _Link(writer, None, self._swallowing)
        self._links.add(link)
        try:
            await self._serve(link, reader)
        except (OSError, asyncio.CancelledError):
            pass  # the connection was cut or refused, or it outlived the test
        finally:
            link.abort()
            self._links.discard(link)
            self._tasks.discard(task)

    async def _serve(self, link: _Link, reader: asyncio.StreamReader) -> None:
        if link.swallows:
            await self._swallow(reader)
            return
        await self._passable.wait()
        from_broker, link.broker = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [
            asyncio.ensure_future(self._forward(link, reader, link.broker)),
            asyncio.ensure_future(self._forward(link, from_broker, link.station)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        if link.swallows:
            await self._swallow(reader)

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(_CHUNK):
            pass

    async def _forward(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (piece := await reader.read(_CHUNK)) and not link.swallows:
            await asyncio.sleep(self.delay + (len(piece) / self.throttle if self.throttle else 0.0))
            await self._passable.wait()
            writer.write(piece)
            await writer.drain()

    async def _end(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close in the next iteration of the loop

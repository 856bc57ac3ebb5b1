"""A broker of a few lines, for answers that mosquitto does not give."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CONNECT, PUBLISH, SUBSCRIBE = 1, 3, 8
ACCEPTED = bytes([0x20, 3, 0, 0, 0])
Answer = Callable[[int, int, bytes], bytes | None]  # packet type, flags, body -> what to send; None: close


@contextmanager
def mqtt_server(answer: Answer) -> Iterator[int]:
    """The port of a server that answers CONNECT, PUBLISH and SUBSCRIBE by `answer`, and nothing else."""

    def serve_all(server: socket.socket) -> None:
        try:
            while True:
                line, _ = server.accept()
                threading.Thread(target=_serve, args=(line, answer), daemon=True).start()
        except OSError:
            return  # the end of the test

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve_all, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _serve(line: socket.socket, answer: Answer) -> None:
    with line, line.makefile("rb") as stream:
        line.settimeout(20)
        try:
            while head := stream.read(1):
                size = shift = 0
                while True:
                    byte = stream.read(1)[0]
                    size, shift = size | (byte & 0x7F) << shift, shift + 7
                    if byte < 0x80:
                        break
                body = stream.read(size)
                if head[0] >> 4 in (CONNECT, PUBLISH, SUBSCRIBE):
                    if (reply := answer(head[0] >> 4, head[0] & 15, body)) is None:
                        return
                    line.sendall(reply)
        except (OSError, IndexError):
            return


def message_id(body: bytes) -> bytes:
    """Of a PUBLISH of QoS 1 or 2."""
    at = 2 + int.from_bytes(body[:2], "big")
    return body[at : at + 2]


def topic_of(body: bytes) -> str:
    """Of a PUBLISH."""
    return body[2 : 2 + int.from_bytes(body[:2], "big")].decode()

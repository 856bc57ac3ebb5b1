"""Where packages are fetched from: a folder, often a network share, or an HTTPS address."""

from __future__ import annotations

import http.client
import os
import re
import ssl
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from edge_runtime.commands.request import CommandError
from edge_runtime.mqtt.certificates import not_accepted

CHUNK = 1 << 16  # bytes
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_REDIRECTIONS = {301, 302, 303, 307, 308}


class TransientError(Exception):
    """This try failed, and another one may not. The message is the reason, a clause."""


@dataclass(frozen=True)
class OpenedFile:
    """A file from `start` on. total: its bytes, None: unknown; read: the next bytes, at most CHUNK; b"" at the end."""

    start: int
    total: int | None
    read: Callable[[], bytes]


class PackageSource(Protocol):
    """Gives packages by their names."""

    def open(self, name: str, offset: int) -> AbstractContextManager[OpenedFile]:
        """Within a `with` block: the file `name` from `offset` on, or, where that is impossible, from 0 on.

        Raises CommandError for what no further try will change, else TransientError, also within the block.
        """
        ...

    def where(self, name: str) -> str:
        """The place of a package, for people."""
        ...


class PackageFolder:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def where(self, name: str) -> str:
        """The path."""
        return str(self._folder / name)

    @contextmanager
    def open(self, name: str, offset: int) -> Iterator[OpenedFile]:
        """Open the file. No link is followed, and nothing but a file is read."""
        path = self._folder / name
        with _reasons(str(path)), ExitStack() as stack:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            stack.callback(os.close, descriptor)
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise CommandError(f"{path} is not a file")
            start = offset if offset <= about.st_size else 0
            os.lseek(descriptor, start, os.SEEK_SET)
            opened = stack.pop_all()
        with opened:
            yield OpenedFile(start, about.st_size, _read(str(path), lambda: os.read(descriptor, CHUNK)))


class PackageWebsite:
    """An address that begins with https://, or with http:// of this machine, and ends with a slash.

    ca       certificate authorities to trust instead of the system's, a PEM file
    timeout  seconds without an answer after which a try has failed
    No proxy is used and no redirection followed, so that nobody can lead a station elsewhere.
    """

    def __init__(self, base: str, ca: Path | None, timeout: float) -> None:
        self._base, self._ca, self._timeout = base, ca, timeout
        self._parts = urlsplit(base)

    def where(self, name: str) -> str:
        """The address."""
        return self._base + name

    @contextmanager
    def open(self, name: str, offset: int) -> Iterator[OpenedFile]:
        """Ask for the rest of the file; a server that does not know ranges sends all of it."""
        where, connection = self.where(name), self._connection()
        try:
            with _reasons(where):
                connection.request("GET", self._parts.path + quote(name), headers=_headers(offset))
                answer = connection.getresponse()
            with answer:  # where the server keeps no connection it owns the socket
                yield _opened(answer, where, offset)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        try:
            context = ssl.create_default_context(cafile=self._ca)
        except OSError as error:  # also what OpenSSL says
            raise CommandError(f"commands.fetch.ca: {self._ca} cannot be used ({error.strerror or error})") from None
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)


def _headers(offset: int) -> dict[str, str]:
    return {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}


def _opened(answer: http.client.HTTPResponse, where: str, offset: int) -> OpenedFile:
    read = _read(where, lambda: answer.read1(CHUNK))
    if answer.status == 200:
        return OpenedFile(0, answer.length, read)
    if answer.status == 206:
        found = _RANGE.fullmatch(answer.getheader("Content-Range", ""))
        if found is not None and int(found[1]) == offset:
            return OpenedFile(offset, None if found[2] == "*" else int(found[2]), read)
        raise TransientError(f"{where}: the server sent another part than it was asked for")
    if answer.status == 416 and offset:  # we have all of it already, or more: begin anew where the hash is wrong
        return OpenedFile(offset, offset, lambda: b"")
    if answer.status in _REDIRECTIONS:
        raise CommandError(f"{where}: the server redirects to another address, and a station does not follow")
    sentence = f"{where}: the server answers {answer.status} {answer.reason:.60}"
    raise TransientError(sentence) if answer.status >= 500 or answer.status == 429 else CommandError(sentence)


@contextmanager
def _reasons(where: str) -> Iterator[None]:
    """Turn what opening and reading a package raise into CommandError or TransientError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise CommandError(f"there is no {where}") from None
    except PermissionError:
        raise CommandError(f"{where} cannot be read; check its permissions") from None
    except ssl.SSLCertVerificationError as error:
        raise CommandError(f"{where}: the {not_accepted(error)}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise TransientError(f"{where} cannot be read ({reason})") from None


def _read(where: str, read: Callable[[], bytes]) -> Callable[[], bytes]:
    def reading() -> bytes:
        with _reasons(where):
            return read()

    return reading

"""A cache of files that take minutes to make: engines, their timings, compiled kernels, results of checks.

An entry is one file: a magic line, a line of JSON (the fingerprint of what it was made from, length and sha256 of the
content), and the content. The file name has the entry's name and a hash of the fingerprint, so an engine for another
GPU or TensorRT is never loaded; the JSON is compared too. The hash guards against damage, not against an attacker.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from latentline.base import atomic
from latentline.errors import EngineError

log = logging.getLogger(__name__)

Fingerprint = Mapping[str, str]

SUFFIX = ".cached"
_MAGIC = b"latentline cache entry, schema 1\n"
_KEPT = 4  # entries of one name: the newest, and a few for other GPUs or versions that share the folder


def default_folder() -> Path:
    """$LATENTLINE_CACHE, else `latentline` in the user's cache folder ($XDG_CACHE_HOME or ~/.cache).

    Raises EngineError for a user without a home, as in many containers.
    """
    if chosen := os.environ.get("LATENTLINE_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentline"
    except RuntimeError:
        raise EngineError(
            "this user has no home for a cache folder; give one in the environment variable LATENTLINE_CACHE"
        ) from None


class _UnusableError(Exception):
    """The reason why a file is not the entry that was asked for."""


class EngineCache:
    """Entries in `folder`, which is created with the first entry. Processes may share it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def fetch(self, name: str, fingerprint: Fingerprint, make: Callable[[], bytes]) -> bytes:
        """The content of an entry. When it is missing or unusable, `make` makes it, and it is written.

        While one process makes an entry, others wait and then read it. Raises EngineError when the folder cannot be
        written, before anything is made.
        """
        content = self.load(name, fingerprint)
        if content is not None:
            return content
        with self._locked(name):
            content = self.load(name, fingerprint)  # another process may have made it since
            if content is None:
                self._log_reason(name, fingerprint)
                content = make()
                self._write(name, fingerprint, content)
        return content

    def load(self, name: str, fingerprint: Fingerprint) -> bytes | None:
        """The content of an entry; None when it is missing or unusable."""
        try:
            return _read(self._path(name, fingerprint), fingerprint)
        except FileNotFoundError:
            return None
        except (_UnusableError, OSError):
            return None

    def store(self, name: str, fingerprint: Fingerprint, content: bytes) -> None:
        """Write an entry, or replace it. Raises EngineError when the folder cannot be written."""
        with self._locked(name):
            self._write(name, fingerprint, content)

    def state(self, name: str, fingerprint: Fingerprint) -> str:
        """ "ready", "missing", or "stale: " and the reason why the entry cannot be used."""
        try:
            _read(self._path(name, fingerprint), fingerprint)
            return "ready"
        except FileNotFoundError:
            return self._difference(name, fingerprint)
        except (_UnusableError, OSError) as error:
            return f"stale: {error}"

    def _path(self, name: str, fingerprint: Fingerprint) -> Path:
        digest = hashlib.sha256(_canonical(fingerprint)).hexdigest()
        return self.folder / f"{_plain(name)}-{digest[:16]}{SUFFIX}"

    def _entries(self, name: str) -> list[Path]:
        """The files of this name with any fingerprint, newest first."""
        pattern = re.compile(re.escape(_plain(name)) + r"-[0-9a-f]{16}" + re.escape(SUFFIX))
        try:
            files = [path for path in self.folder.iterdir() if pattern.fullmatch(path.name)]
            return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
        except OSError:
            return []

    def _difference(self, name: str, fingerprint: Fingerprint) -> str:
        """How the newest entry of this name differs from the one asked for."""
        for path in self._entries(name):
            try:
                with path.open("rb") as file:
                    made = _header(file, path)["fingerprint"]
            except (_UnusableError, OSError):
                continue
            keys = [key for key in {**fingerprint, **made} if made.get(key) != fingerprint.get(key)]
            changes = (f"{key} was {_short(made.get(key))}, is {_short(fingerprint.get(key))}" for key in keys)
            return f"stale: {', '.join(changes)}"
        return "missing"

    def _log_reason(self, name: str, fingerprint: Fingerprint) -> None:
        """Log why an entry that exists is made again."""
        state = self.state(name, fingerprint)
        if state.startswith("stale: "):
            log.warning("%s: the cached %s cannot be used (%s); making it again", self.folder, name, state[7:])

    def _write(self, name: str, fingerprint: Fingerprint, content: bytes) -> None:
        header = {
            "fingerprint": dict(fingerprint),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        path = self._path(name, fingerprint)
        with self._folder_errors():
            atomic.write_bytes(path, _MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + content)
        others = (entry for entry in self._entries(name) if entry != path)
        with suppress(OSError):  # another user's entries in a shared folder
            for old in list(others)[_KEPT - 1 :]:
                old.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the lock of this name among all processes. The system releases it when a process dies."""
        with self._folder_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / f".{_plain(name)}.lock").open("ab")
        with file:
            with self._folder_errors():  # not every network file system has locks
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    log.info("another process is making %s; waiting for it", name)
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _folder_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EngineError(
                f"{self.folder}: the cache cannot be written ({error.strerror or error}); make room or give another "
                "folder with --cache or in the environment variable LATENTLINE_CACHE"
            ) from None


def _read(path: Path, fingerprint: Fingerprint) -> bytes:
    """The content of an entry. Raises FileNotFoundError, OSError, _UnusableError."""
    with path.open("rb") as file:
        header, content = _header(file, path), file.read()
    if header["fingerprint"] != dict(fingerprint):
        raise _UnusableError(f"{path.name} has another fingerprint")
    if len(content) != header["bytes"]:
        raise _UnusableError(f"{path.name} is truncated: {len(content)} of {header['bytes']} bytes")
    if hashlib.sha256(content).hexdigest() != header["sha256"]:
        raise _UnusableError(f"{path.name} is damaged: its sha256 is wrong")
    return content


def _header(file: BinaryIO, path: Path) -> dict[str, Any]:
    """The header of an entry; `file` is then at its content. Raises _UnusableError when it is no entry."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise _UnusableError(f"{path.name} is not an entry of this cache")
    line = file.readline()
    try:
        header = json.loads(line)
        if set(header) == {"fingerprint", "bytes", "sha256"} and isinstance(header["fingerprint"], dict):
            return dict(header)
    except (ValueError, TypeError):
        pass
    raise _UnusableError(f"{path.name} is damaged: its header cannot be read")


def _canonical(fingerprint: Fingerprint) -> bytes:
    return json.dumps(dict(fingerprint), sort_keys=True).encode()


def _plain(name: str) -> str:
    """`name` as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name)[:100]


def _short(value: str | None) -> str:
    return "absent" if value is None else value if len(value) <= 40 else f"{value[:12]}…"

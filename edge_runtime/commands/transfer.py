"""Copy one package from its source into a folder, in as many tries as it takes, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edge_runtime.commands.package_source import CHUNK, OpenedFile, PackageSource, TransientError
from edge_runtime.commands.request import CommandError
from edge_runtime.pacing import Backoff

_FRUITLESS_TRIES = 5  # in a row, after which the transfer fails


@dataclass(frozen=True)
class TransferLimits:
    """max_bytes: of a package; spare_bytes: that stay free on the disk; seconds: for all tries together."""

    max_bytes: int
    spare_bytes: int
    seconds: float


class Transfer:
    """The package `name` with this sha256 on its way from `source` into `folder`.

    What has arrived is in a hidden file with the ending .part, from which the next transfer goes on, also after a
    restart. Only a whole file with the right hash gets its name.
    """

    def __init__(
        self, source: PackageSource, folder: Path, name: str, sha256: str, limits: TransferLimits, pauses: Backoff
    ) -> None:
        self._source, self._folder, self._name, self._sha256 = source, folder, name, sha256
        self._limits, self._pauses = limits, pauses
        self._part = folder / f".{name}.{sha256[:16]}.part"
        self.stop = threading.Event()  # set: end without placing anything

    def run(self, clock: Callable[[], float] = time.monotonic) -> dict[str, Any]:
        """Fetch the package; returns the result of the command. Raises CommandError."""
        target = self._folder / self._name
        try:
            if target.exists() or target.is_symlink():
                return self._there_already(target)
            self._remove_other_parts()
            resumed = self._size()
            self._fetch(clock() + self._limits.seconds, clock)
            size = self._size()
            if self.stop.is_set():
                raise CommandError("the station stopped before the package was whole; the next try goes on from there")
            self._part.replace(target)
        except OSError as error:
            self._part.unlink(missing_ok=True)  # a full disk needs the room
            raise CommandError(f"{self._part} cannot be written ({error.strerror}); nothing is kept") from None
        return {"package": self._name, "bytes": size, "resumed_at": resumed}

    def _there_already(self, target: Path) -> dict[str, Any]:
        if target.is_file() and not target.is_symlink() and _sha256(target) == self._sha256:
            size = target.stat().st_size
            return {"package": self._name, "bytes": size, "resumed_at": size}
        raise CommandError(f"{self._name} is there already with another content; give the new package another name")

    def _fetch(self, deadline: float, clock: Callable[[], float]) -> None:
        """Try until the part file is whole and right."""
        fruitless, anew = 0, self._size() == 0
        while True:
            before = self._size()
            try:
                self._try(deadline, clock)
            except TransientError as error:
                fruitless = 0 if self._size() > before else fruitless + 1
                if fruitless >= _FRUITLESS_TRIES or clock() >= deadline or self.stop.is_set():
                    raise CommandError(f"{error}; {self._size()} bytes are kept, and the next try goes on") from None
                if not fruitless:
                    self._pauses.reset()
                self.stop.wait(min(self._pauses.pause(), max(0.0, deadline - clock())))
                continue
            found = _sha256(self._part)
            if found == self._sha256:
                return
            self._part.unlink()
            if anew:
                raise CommandError(
                    f"{self._source.where(self._name)} has sha256 {found}, not the requested {self._sha256}"
                )
            anew = True  # what an earlier transfer left was of another file

    def _try(self, deadline: float, clock: Callable[[], float]) -> None:
        """One try. Raises TransientError, also when less came than was announced."""
        where = self._source.where(self._name)
        with self._source.open(self._name, self._size()) as opened, self._part.open("ab") as part:
            if opened.start != part.tell():
                part.truncate(opened.start)
            self._check_room(opened, where)
            have = opened.start
            while chunk := opened.read():
                have += len(chunk)
                if have > self._limits.max_bytes:
                    raise self._too_large(where)
                part.write(chunk)
                if clock() >= deadline:
                    raise TransientError(f"{where} took longer than {self._limits.seconds:g} s")
                if self.stop.is_set():
                    raise TransientError(f"{where}: the station stopped")
            part.flush()
            os.fsync(part.fileno())
            if opened.total is not None and have < opened.total:
                raise TransientError(f"{where} ended after {have} of {opened.total} bytes")

    def _check_room(self, opened: OpenedFile, where: str) -> None:
        if opened.total is None:
            return
        if opened.total > self._limits.max_bytes:
            raise self._too_large(where)
        needed = opened.total - opened.start + self._limits.spare_bytes
        if shutil.disk_usage(self._folder).free < needed:
            raise CommandError(f"the disk of {self._folder} has no room for {opened.total >> 20} MiB; remove something")

    def _too_large(self, where: str) -> CommandError:
        self._part.unlink(missing_ok=True)
        return CommandError(
            f"{where} is larger than {self._limits.max_bytes >> 20} MiB, the limit commands.fetch.max_mib"
        )

    def _size(self) -> int:
        try:
            return self._part.stat().st_size
        except FileNotFoundError:
            return 0

    def _remove_other_parts(self) -> None:
        """One package is fetched at a time, so others are left over."""
        for path in self._folder.glob(".*.part"):
            if path != self._part:
                with suppress(OSError):
                    path.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()

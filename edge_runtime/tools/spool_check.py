"""What `check` tries at the spool: whether its path is free for it, its folder takes files, and the disk has room.

It opens no spool, because a running station has it open, and leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.config import StationConfig
from edge_runtime.mqtt.spool.foreign import foreign_file
from edge_runtime.tools.finding import Finding
from latentline.base.places import read_only

_MIB = 1 << 20


def check_spool(config: StationConfig) -> Iterator[Finding]:
    """Try the spool's path, its files, its folder and the free space."""
    path = config.spool.path
    try:
        for file in _files(path, config):
            if not os.access(file, os.R_OK | os.W_OK):
                yield Finding("spool", False, f"spool.path: this user may not write {file}; {_owner(file)}")
                return
        if (what := foreign_file(path)) is not None:
            yield Finding("spool", False, f"spool.path: {path} {what}, and no spool; choose another path")
            return
        folder = _existing(path.parent)
        if not folder.is_dir():
            yield Finding("spool", False, f"spool.path: {folder} is no folder, so {path} cannot be in it")
            return
        if not os.access(folder, os.W_OK | os.X_OK):
            sentence = f"spool.path: this user may not write into {folder}"
            yield Finding("spool", False, f"{sentence}; {_owner(folder)}")
            return
        _write(folder)
        free = shutil.disk_usage(folder).free / _MIB
    except OSError as error:
        yield Finding("spool", False, f"spool.path: {path} cannot be used ({error.strerror})")
        return
    least = config.supervision.disk_mib
    if free < least:
        sentence = f"only {free:.0f} MiB are free under {folder}, less than supervision.disk_mib ({least})"
        yield Finding("spool", True, f"{sentence}: delete something before events are lost", warning=True)
    else:
        yield Finding("spool", True, f"{path} can be written, {free:.0f} MiB are free")


def _files(path: Path, config: StationConfig) -> Iterator[Path]:
    """The files of the spool, and those that the station keeps beside it, as far as they exist."""
    if path.parent.is_dir():
        broken = f"{path.name}.broken-"
        names = (file for file in path.parent.iterdir() if file.name.startswith(path.name))
        yield from sorted(file for file in names if not file.name.startswith(broken))
    if config.commands.verbs:
        for suffix in (".commands.json", ".answered"):
            if (file := path.with_suffix(suffix)).exists():
                yield file


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: the station makes those that are missing."""
    return next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)


def _write(folder: Path) -> None:
    """Write and flush a file of a megabyte, and remove it. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".latentline-check-") as file:
        file.write(bytes(_MIB))
        file.flush()
        os.fsync(file.fileno())


def _owner(path: Path) -> str:
    """Why we may not write it: its file system takes nothing, or whose it is, and who we are."""
    if read_only(path):
        return "its file system is read-only"
    return f"it belongs to user {path.stat().st_uid}, and this is user {os.geteuid()}"

"""What `check` tries at the archive: whether its folder takes files, and the disk has the room it must leave.

It does not open the archive, because a running station has it open, and leaves nothing behind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.archive.store import free_mib
from edge_runtime.tools.finding import Finding


def check_archive(settings: ArchiveSection | None) -> Iterator[Finding]:
    """Try the archive's folder, or the one above it that is there, and the free space; nothing without an archive."""
    if settings is None:
        return
    path = settings.path
    if path.exists() and not path.is_dir():
        yield Finding("archive", False, f"archive.path: {path} is not a folder; choose another path")
        return
    folder = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"latentline")
        free = free_mib(folder)
    except OSError as error:
        yield Finding("archive", False, f"archive.path: {folder} takes no files ({error.strerror}); correct its rights")
        return
    if free < settings.min_free_mib:
        sentence = f"{free:.0f} MiB are free, less than archive.min_free_mib ({settings.min_free_mib}); make room"
        yield Finding("archive", False, f"{_named(path)}: {sentence}")
    else:
        yield Finding("archive", True, f"{_named(path)} can be written; {free:.0f} MiB are free")


def _named(path: Path) -> str:
    return str(path) if path.exists() else f"{path} (will be made)"

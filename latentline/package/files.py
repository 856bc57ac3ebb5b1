"""The files of a model package as bytes, from a folder or a .zip. Nothing is extracted; links are not followed."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from latentline.errors import PackageError

_MOST_SHRUNK = 20  # times that a zip or a sparse file may hold what it takes on the disk; trained weights hardly shrink
_ANY_RATIO = 32 * 1024**2  # bytes, below which nobody cares
SIZE_LIMIT = 2 * 1024**3  # bytes, unpacked: a 1024 px model with float32 weights takes about 0.4 GiB
# No separators, no drive, no parent: such a name cannot leave the package.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def is_plain_name(name: str) -> bool:
    """Whether `name` can be a file of a package: letters, digits, dot, dash and underscore, in no folder."""
    return _PLAIN_NAME.fullmatch(name) is not None


def read_files(path: Path) -> dict[str, bytes]:
    """Every file of the package at `path`, by name, except hidden ones in a folder. Raises PackageError."""
    if path.is_dir():
        return _read_folder(path)
    try:
        if not path.is_file():
            path.stat()
            raise PackageError(f"{path}: neither a folder nor a file, so not a model package; copy or export it again")
        _check_size(path.stat().st_size, 512 * path.stat().st_blocks, str(path))
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise PackageError(f"{path}: cannot be read ({reason}); give the folder or .zip of a model package") from None
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise PackageError(
            f"{path}: neither a folder nor a complete .zip, so not a model package; copy or export it again"
        )
    return read_zip(content, str(path))


def read_zip(content: bytes, source: str, limit: int = SIZE_LIMIT) -> dict[str, bytes]:
    """The files in a zip archive. Raises PackageError, naming `source`, for an unsafe or damaged archive.

    limit  bytes, unpacked
    """
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            _check_size(sum(info.file_size for info in infos), len(content), source, limit)
            for info in infos:
                _check_entry(info, files, source)
                with archive.open(info) as file:
                    files[info.filename] = file.read(info.file_size + 1)
                if len(files[info.filename]) > info.file_size:
                    raise PackageError(
                        f"{source}: {info.filename!r} is larger than its entry states; do not use this file"
                    )
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise PackageError(f"{source}: damaged zip ({error!s:.100}); copy or export it again") from None
    return files


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive that depends on names and content alone, not on the time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)  # with the time 1980-01-01
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def _check_size(size: int, stored: int, source: str, limit: int = SIZE_LIMIT) -> None:
    """Raise PackageError when `size` bytes are more than `limit`, or far more than the `stored` ones they come from."""
    if size > limit:
        raise PackageError(f"{source}: unpacks to more than {limit >> 20} MiB; no model is that large, do not use it")
    if size > max(_ANY_RATIO, _MOST_SHRUNK * stored):
        raise PackageError(
            f"{source}: unpacks {stored >> 10} KiB to {size >> 20} MiB; no weights shrink like that, do not use it"
        )


def _check_entry(info: zipfile.ZipInfo, files: dict[str, bytes], source: str) -> None:
    name = info.filename
    if name.startswith(("__MACOSX/", "._")) or name.rpartition("/")[2] in (".DS_Store", "Thumbs.db", "desktop.ini"):
        raise PackageError(
            f"{source}: holds {name!r}, which a file manager added when the folder was zipped; take it out, e.g. with "
            "`zip -d`, or copy what export wrote"
        )
    if not is_plain_name(name) or stat.S_ISLNK(info.external_attr >> 16):
        raise PackageError(
            f"{source}: entry {name!r} is a folder, a link or leads out of the package; "
            "a package holds plain files at its top, export it again"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PackageError(
            f"{source}: {name!r} is compressed by a method that no export uses; export the package again"
        )
    if name in files:
        raise PackageError(f"{source}: {name!r} appears twice; export the package again")


def _read_folder(folder: Path) -> dict[str, bytes]:
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    for entry in entries:
        if entry.is_symlink() or not entry.is_file() or not is_plain_name(entry.name):
            raise PackageError(
                f"{entry}: not a plain file, so it does not belong in a model package; remove it or export again"
            )
    stats = [entry.stat() for entry in entries]
    _check_size(sum(stat.st_size for stat in stats), 512 * sum(stat.st_blocks for stat in stats), str(folder))
    try:
        return {entry.name: entry.read_bytes() for entry in entries}
    except OSError as error:
        raise PackageError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from None

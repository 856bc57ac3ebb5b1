"""Write a model package, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from latentline.base import atomic
from latentline.errors import PackageError
from latentline.package.destination import check_destination, is_zip
from latentline.package.files import zipped
from latentline.package.manifest import Manifest
from latentline.package.model_package import MANIFEST, files_of


def write_package(out: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write a package to `out`: a .zip where it has that suffix, else a folder. Replaces a package in one step.

    files  content by name, without the manifest, which is completed by their hashes
    Raises PackageError when `files` are not those that a package of this manifest holds, and when `out` cannot be
    written or is something else.
    """
    required = files_of(manifest)
    if set(files) != required:
        raise PackageError(f"{out}: a package holds {', '.join(sorted(required))}; got {', '.join(sorted(files))}")
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    manifest = manifest.model_copy(update={"files": hashes})
    contents = {MANIFEST: manifest.model_dump_json(indent=2).encode() + b"\n", **files}
    check_destination(out)
    try:
        _write(out, contents)
    except OSError as error:
        raise PackageError(
            f"{out}: the package cannot be written ({error.strerror or error}); what was there is still there"
        ) from None


def _write(out: Path, contents: Mapping[str, bytes]) -> None:
    if is_zip(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic.remove_leftovers(out)
        atomic.write_bytes(out, zipped(contents))
        return
    with atomic.new_folder(out) as folder:
        for name, content in contents.items():
            (folder / name).write_bytes(content)

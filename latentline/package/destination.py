"""Where a package may be written: never over something else, and known before hours of calibration."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

from latentline.base.places import obstacle
from latentline.errors import PackageError
from latentline.package.model_package import MANIFEST
from latentline.package.package_name import name_fault
from latentline.package.signature import SIGNATURE

_ENDINGS = (".onnx", ".npz")  # of the other files of a package
log = logging.getLogger(__name__)


def is_zip(out: Path) -> bool:
    """Whether a package at `out` is one file and no folder: its name ends with .zip."""
    return out.suffix.lower() == ".zip"


def check_destination(out: Path) -> None:
    """Raise PackageError when a package cannot be written to `out`.

    Only a package is replaced: a run, a data set or any other folder or file that is there stays.
    """
    if out.name in ("", ".."):
        raise PackageError(f"{out}: a package cannot be written over this folder; name a folder in it, or a .zip")
    if (is_zip(out) and out.is_dir()) or (not is_zip(out) and out.is_file()):
        kind = "folder; a name that ends with .zip is for a file" if out.is_dir() else "file; add .zip to have one file"
        raise PackageError(f"{out}: there is already a {kind}, or give another name")
    if out.exists() and (other := _foreign(out)):
        raise PackageError(f"{out}: {other}, so it is not replaced; move it away, or give the package another name")
    if reason := obstacle(out.parent):
        raise PackageError(f"{out}: the package cannot be written there: {reason}; give another place")


def warn_of_name(out: Path) -> None:
    """Log a warning where no command can switch a station to a package of this name."""
    if (fault := name_fault(out.name)) is not None:
        log.warning("%s", fault)


def _foreign(out: Path) -> str | None:
    """What says that `out`, which exists, is no model package; None where it is one, or an empty folder."""
    if not out.is_dir():
        return None if _is_zipped_package(out) else "this file is no model package"
    names = sorted(path.name for path in out.iterdir())
    if not names:
        return None
    if MANIFEST not in names:
        return f"this folder is no model package and not empty ({names[0]})"
    others = [name for name in names if name not in (MANIFEST, SIGNATURE) and not name.endswith(_ENDINGS)]
    return f"this folder holds more than a model package ({others[0]})" if others else None


def _is_zipped_package(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return MANIFEST in archive.namelist()

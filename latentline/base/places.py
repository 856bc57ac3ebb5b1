"""Whether something can be written to a path: asked before the work, not after hours of it."""

from __future__ import annotations

import os
from pathlib import Path

from latentline.errors import ConfigError


def obstacle(path: Path) -> str | None:
    """Why nothing can be written to `path` or below it, in words; None where it can, folders made on the way."""
    above = next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
    if not above.is_dir():
        what = "this is a file" if above.exists() else "this link leads nowhere"
        return what if above == path.absolute() else f"{above} is no folder"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"the file system of {above} is read-only" if read_only(above) else f"you may not write into {above}"
    return None


def read_only(path: Path) -> bool:
    """Whether the file system of `path`, which exists, takes no files of anybody, as after a fault of its disk."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def check_folder(path: Path) -> None:
    """Raise ConfigError when nothing can be written into the folder `path`, which need not exist yet."""
    if reason := obstacle(path):
        raise ConfigError(f"{path}: cannot be a folder to write into: {reason}; give another place")

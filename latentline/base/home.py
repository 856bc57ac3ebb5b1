"""Paths as people write them: `~` for a home, and backslashes in files that come from Windows."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from latentline.errors import ConfigError


def expanded(path: Path) -> Path:
    """`path` with `~` or `~user` replaced. Raises ConfigError when there is no such user, or no home."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{path}: there is no user, or no home, that {path.parts[0]} could mean; write the whole path"
        ) from None


def at(base: Path, path: Path) -> Path:
    """A path of a settings file, relative to `base`, with `~` replaced; backslashes of Windows separate its folders.

    A name that holds backslashes here is taken as it is. Raises ConfigError for a drive of Windows, and as `expanded`.
    """
    found = base / expanded(path)
    if "\\" not in str(path) or found.exists():
        return found
    if PureWindowsPath(path).drive:
        raise ConfigError(f"{path}: this is a path of a computer with Windows; give one of this machine")
    return base / expanded(Path(PureWindowsPath(path).as_posix()))

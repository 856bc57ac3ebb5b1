"""Homes of users: `~` in paths."""

from __future__ import annotations

from pathlib import Path

from latentline.errors import ConfigError


def expanded(path: Path) -> Path:
    """`path` with `~` or `~user` replaced. Raises ConfigError when there is no such user, or no home."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{path}: there is no user, or no home, that {path.parts[0]} could mean; write the whole path"
        ) from None

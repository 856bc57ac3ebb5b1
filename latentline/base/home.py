"""Homes of users: `~` in paths, and users that have none, as in many containers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def some_home() -> Iterator[None]:
    """Within the block the user has a home, if only one that does not exist: some libraries fail without."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"
        try:
            yield
        finally:
            os.environ.pop("HOME", None)
    else:
        yield

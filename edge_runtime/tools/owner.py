"""Whose files a command would write."""

from __future__ import annotations

import os
from pathlib import Path

from latentline.errors import ConfigError


def refuse_root(folder: Path) -> None:
    """Raise ConfigError when root would leave files for itself alone in a folder of the station's user."""
    try:
        owner = folder.stat().st_uid
    except OSError:
        return  # what is written there will say it better
    if os.geteuid() == 0 and owner != 0:
        raise ConfigError(
            f"{folder} belongs to user {_name(owner)}, and this is root, whose files the station could not read; put "
            f"`sudo -u {_name(owner)}` before the command"
        )


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"

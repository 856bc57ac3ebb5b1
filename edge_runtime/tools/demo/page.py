"""The operator page on the demo's station."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.page.settings import PageSection
from latentline.errors import ConfigError


def paged(output: Path, folder: Path) -> Mapping[str, Any]:
    """The sections of the demo's station that the page wants.

    output  of the demo: archive and packages lie there and stay; folder: of the station, which goes
    """
    models = output / "models"
    models.mkdir(exist_ok=True)
    return {
        "page": {"port": _free_port(), "users": str(folder / "users.json"), "audit": str(output / "audit.jsonl")},
        "archive": {"path": str(output / "archive"), "max_gib": 1.0},
        "commands": {"threshold": {"minimum": 0.0, "maximum": 20.0}, "models": str(models)},
    }


def welcome(page: PageSection, spool: Path) -> str:
    """Make a user of each role; returns address and passwords. Raises ConfigError without the extra `page`."""
    try:
        import uvicorn  # noqa: F401  # the station would only note its absence as a fault

        from edge_runtime.page.context import users_path
        from edge_runtime.page.users import UserFile
    except ImportError as error:
        raise ConfigError(
            f"the page needs {error.name}; install the extra (in a clone: pip install '.[demo,page]')"
        ) from None
    users = UserFile(users_path(page, spool))
    lines = [f"operator page: http://{page.host}:{page.port}"]
    for name in ("engineer", "operator"):
        lines.append(f"  user {name:9} password {users.add(name, name)}")
    return "\n".join([*lines, "Ctrl-C ends the demo.\n"])


def _free_port() -> int:
    wanted = PageSection().port
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return wanted

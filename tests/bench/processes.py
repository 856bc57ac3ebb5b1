"""The processes that another process started."""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> set[int]:
    """Running child processes of `pid`."""
    return {int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _parent(folder) == pid}


def is_running(pid: int) -> bool:
    """Whether `pid` exists and has not ended; an ended process may wait for its parent."""
    return _parent(Path("/proc") / str(pid)) is not None


def _parent(folder: Path) -> int | None:
    try:
        state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)

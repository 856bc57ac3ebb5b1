"""SIGHUP: read and check the YAML again, and change what can change while the station runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.config import StationConfig, load_station
from edge_runtime.supervision.systemd import Systemd
from latentline.errors import LatentlineError

_log = logging.getLogger(__name__)
_LIVE = ("threshold", "drift", "log")  # top-level keys that can change while the station runs


@dataclass(frozen=True)
class Changes:
    """Dotted names of settings that differ, e.g. `mqtt.host`; of a camera with its id, e.g. `cameras.top.source`.

    applied       settings that can change while the station runs
    need_restart  all others
    """

    applied: tuple[str, ...] = ()
    need_restart: tuple[str, ...] = ()

    def __str__(self) -> str:
        clauses = []
        if self.applied:
            clauses.append(f"{_join(self.applied)} changed")
        if self.need_restart:
            clauses.append(f"{_join(self.need_restart)} {'needs' if len(self.need_restart) == 1 else 'need'} a restart")
        return "; ".join(clauses) or "nothing changed"


def difference(old: StationConfig, new: StationConfig) -> Changes:
    """The settings that differ between two configurations, in alphabetical order."""
    names = sorted(_differing(old.model_dump(), new.model_dump()))
    live = tuple(name for name in names if name.split(".")[0] in _LIVE)
    return Changes(live, tuple(name for name in names if name not in live))


class Reload:
    """Reads `path` again on request.

    running  the configuration that the station runs with
    fault    gets the code `config`: a sentence while the file has an error, None when it is correct
    """

    def __init__(
        self, path: Path, running: StationConfig, fault: Callable[[str, str | None], None], systemd: Systemd
    ) -> None:
        self._path, self._fault, self._systemd = path, fault, systemd
        self._requested = False
        self.running = running

    def request(self) -> None:
        """Reload at the next `run_pending`. Only sets a flag, so a signal handler may call it."""
        self._requested = True

    def run_pending(self) -> Changes | None:
        """After a request: check the file and copy what can change into `running`. The caller applies it.

        Returns None without a request, and when the file has an error; then nothing changes. `running` keeps the old
        values of settings that need a restart, so each reload names them again.
        """
        if not self._requested:
            return None
        self._requested = False
        self._systemd.reloading()
        try:
            return self._reload()
        finally:
            self._systemd.send("READY=1")

    def _reload(self) -> Changes | None:
        try:
            new = load_station(self._path)
        except LatentlineError as error:
            self._fault("config", f"the station keeps its old configuration: {error}")
            return None
        self._fault("config", None)
        changes = difference(self.running, new)
        live = {name: getattr(new, name) for name in _LIVE}
        self.running = self.running.model_copy(update=live)
        log = _log.warning if changes.need_restart else _log.info
        log("%s: %s", self._path, changes)
        return changes


def _differing(old: Any, new: Any, name: str = "") -> list[str]:
    if old == new:
        return []
    old, new = _by_id(old), _by_id(new)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        absent = object()
        dot = f"{name}." if name else ""
        keys = {**old, **new}
        return [
            found for key in keys for found in _differing(old.get(key, absent), new.get(key, absent), f"{dot}{key}")
        ]
    return [name]


def _by_id(value: Any) -> Any:
    """A list of sections with ids as a mapping by id; any other value unchanged."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) and "id" in item for item in value):
        return {item["id"]: item for item in value}
    return value


def _join(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

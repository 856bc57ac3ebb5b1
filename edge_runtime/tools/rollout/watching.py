"""Stations that are watched after a switch."""

from __future__ import annotations

import time
from collections.abc import Mapping

from edge_runtime.tools.listen.messages import Frames
from edge_runtime.tools.rollout.regression import BeforeSwitch, regression
from edge_runtime.tools.rollout.watched_station import WatchedStation


class WatchedStations:
    """Some stations that run `model` since now. before: each before its switch."""

    def __init__(self, views: Mapping[str, WatchedStation], before: Mapping[str, BeforeSwitch], model: str) -> None:
        start = time.monotonic()
        self._views, self._before, self._model = views, before, model
        self._counts = {name: _CountsSince(view, start) for name, view in views.items()}

    def regressions(self) -> dict[str, str]:
        """Those that are worse off than before, and why, a clause."""
        found = {
            name: regression(view, self._before[name], self._model, self.frames(name))
            for name, view in self._views.items()
        }
        return {name: fault for name, fault in found.items() if fault is not None}

    def frames(self, name: str) -> Frames | None:
        """What a station has inspected with the new model; None: nobody knows yet."""
        return self._counts[name].frames()

    @property
    def all_present(self) -> bool:
        """Whether none is offline at this moment."""
        return all(view.absence is None for view in self._views.values())


class _CountsSince:
    """Frames of a station since its first health message after `start`, of the monotonic clock."""

    def __init__(self, view: WatchedStation, start: float) -> None:
        self._view, self._start = view, start
        self._first: Frames | None = None

    def frames(self) -> Frames | None:
        health = self._view.health
        if health is None or self._view.health_at <= self._start:
            return None
        first = self._first = self._first or health.frames
        now = health.frames
        if now.inspected < first.inspected:  # another run of its process
            return None
        return Frames(inspected=now.inspected - first.inspected, abnormal=now.abnormal - first.abnormal)

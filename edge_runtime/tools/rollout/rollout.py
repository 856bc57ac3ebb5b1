"""A roll-out: survey the stations, switch the canaries, watch them, switch the rest, watch all; go back at the first
regression."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_runtime.tools.rollout.client import RolloutClient, SentRequest, StationAnswer
from edge_runtime.tools.rollout.regression import BeforeSwitch
from edge_runtime.tools.rollout.report import RolloutReport, StationReport
from edge_runtime.tools.rollout.watched_station import WatchedStation
from edge_runtime.tools.rollout.watching import WatchedStations
from latentline.base.durations import duration
from latentline.errors import LatentlineError

_STATUS_SECONDS = 10.0  # for the retained messages of all stations
_HEALTH_SECONDS = 75.0  # for a health message of each: two and a half of the station's usual periods
# More than a station takes to give up itself; a GPU that has no engines yet builds them first.
_ANSWER_SECONDS = {"fetch": 3700.0, "model": 1800.0, "revert": 1800.0}
_AGAIN_SECONDS = 10.0  # after which a request is sent again: a station carries it out once, however often it comes
_BACK_SECONDS = 30.0  # for a station that went away to come back
_TELL_SECONDS = 60.0  # between two lines while stations are watched
_BIRTH_SECONDS = 10.0  # for `birth` to follow the answer


class StationsNotReadyError(LatentlineError):
    """A station cannot take part in a roll-out; nothing has changed anywhere."""


@dataclass(frozen=True)
class RolloutPlan:
    """What to bring where.

    name    of the package, as in commands.models
    model   its sha256
    file    sha256 of the .zip that stations fetch; None: it lies there already
    stages  stations
    watch   seconds after each stage
    """

    name: str
    model: str
    file: str | None
    stages: Sequence[Sequence[str]]
    watch: float


class Rollout:
    """Carries out a plan. `report` says at any time what was done.

    say       tells the progress
    stopping  whether the user has asked for an end
    """

    def __init__(
        self, plan: RolloutPlan, client: RolloutClient, say: Callable[[str], None], stopping: Callable[[], object]
    ) -> None:
        self._plan, self._client, self._say, self._stopping = plan, client, say, stopping
        self._by_name = {
            station: StationReport(station, number) for number, stage in enumerate(plan.stages, 1) for station in stage
        }
        self._before: dict[str, BeforeSwitch] = {}
        self._old: dict[str, str] = {}  # sha256 of the model before, of stations that this roll-out has commanded
        self._asked: set[str] = set()  # stations that have not answered a switch yet
        self._told = False  # that an end waits for answers
        self.report = RolloutReport(plan.name, plan.model, list(self._by_name.values()))

    @property
    def has_changed(self) -> bool:
        """Whether any station was commanded to switch."""
        return bool(self._old)

    def forget_asked(self) -> None:
        """Say in the report that nobody knows what those stations run that have not answered."""
        for name in self._asked:
            self._by_name[name].state = "unknown"

    def run(self) -> None:
        """Carry it out. Raises StationsNotReadyError before anything has changed, and BrokerError."""
        self._survey()
        failures = self._fetch()
        if failures:
            self.report.ending, self.report.reason = "stopped", _listed(failures)
            return
        for number, stage in enumerate(self._plan.stages, 1):
            if self._stopping():
                return
            self._say(f"stage {number} of {len(self._plan.stages)}: {', '.join(stage)}")
            failures = self._switch(stage)
            if not failures and not self._stopping():
                failures = self._watch()
            if failures:
                self._stop(failures)
                return
        if not self._stopping():
            self.report.ending = "done"

    def _survey(self) -> None:
        """Wait until every station has said how it is. Raises StationsNotReadyError."""
        views = self._client.views
        needed = {"model", "revert", *(("fetch",) if self._plan.file is not None else ())}
        self._client.wait(
            lambda: self._stopping() or all(view.birth and view.is_settled for view in views.values()), _STATUS_SECONDS
        )
        if self._stopping():
            return
        faults = {name: _unfit(view, needed) for name, view in views.items()}
        _refuse({name: fault for name, fault in faults.items() if fault is not None})
        if self._plan.watch and any(view.health is None for view in views.values()):
            self._say("waiting for a health message of each station")
            self._client.wait(
                lambda: self._stopping() or all(view.health is not None for view in views.values()), _HEALTH_SECONDS
            )
            if not self._stopping():
                silent = [name for name, view in views.items() if view.health is None]
                _refuse(dict.fromkeys(silent, "it sends no health messages (supervision.health_seconds)"))
        for name, view in views.items():
            if view.model == self._plan.model:
                self._by_name[name].state = "had it"

    def _fetch(self) -> dict[str, str]:
        """Have all stations fetch the package, before any switches; returns why some could not, by station."""
        if self._plan.file is None or self._stopping():
            return {}
        todo = [name for name, report in self._by_name.items() if report.state == "untouched"]
        return self._ask_all(todo, "fetch", lambda _: {"name": self._plan.name, "sha256": self._plan.file})

    def _switch(self, stage: Sequence[str]) -> dict[str, str]:
        """Have the stations of a stage switch; returns why some have not, by station."""
        todo = [name for name in stage if self._by_name[name].state == "untouched"]
        for name in todo:
            view = self._client.views[name]
            self._before[name], self._old[name] = BeforeSwitch.of(view), view.model or ""
            self._by_name[name].before = self._before[name].frames
        return self._ask_all(todo, "model", lambda _: {"name": self._plan.name, "sha256": self._plan.model})

    def _ask_all(
        self, stations: Sequence[str], verb: str, payload: Callable[[str], Mapping[str, Any]]
    ) -> dict[str, str]:
        """Send a command to all of them and wait for all answers; returns the errors by station."""
        client = self._client
        waiting = {name: client.ask(name, verb, payload(name)) for name in stations}
        self._asked = set(waiting) if verb != "fetch" else set()
        failures: dict[str, str] = {}
        deadline, again = time.monotonic() + _ANSWER_SECONDS[verb], time.monotonic() + _AGAIN_SECONDS
        while waiting:
            client.wait(lambda: self._any_is_over(waiting), _AGAIN_SECONDS)
            for name, sent in list(waiting.items()):
                if self._is_over(name, sent) or time.monotonic() > deadline:
                    del waiting[name]
                    self._asked.discard(name)
                    error = self._take(name, verb, client.answer_to(sent))
                    if error is not None:
                        failures[name] = error
            if waiting and time.monotonic() >= again:
                again = time.monotonic() + _AGAIN_SECONDS
                for sent in waiting.values():
                    client.again(sent)
        return failures

    def _any_is_over(self, waiting: Mapping[str, SentRequest]) -> bool:
        if self._stopping() and not self._told:
            self._told = True
            self._say(f"waiting for the answers of {', '.join(waiting)}; once more Ctrl-C ends at once")
        return any(self._is_over(name, sent) for name, sent in waiting.items())

    def _is_over(self, name: str, request: SentRequest) -> bool:
        return self._client.answer_to(request) is not None or self._client.views[name].loss is not None

    def _take(self, name: str, verb: str, answer: StationAnswer | None) -> str | None:
        """Note what a station answered; returns why it failed, a clause, or None."""
        report, view = self._by_name[name], self._client.views[name]
        if answer is None:
            error = f"it did not answer the command {verb}: {view.loss or 'it took too long'}"
            report.why = error
            report.state = "unknown" if verb != "fetch" else report.state
            return error
        if answer.error is not None:
            report.why = answer.error
            if verb == "model":
                report.state = "refused"
            self._say(f"{name}: {answer.error}")
            return answer.error
        if verb == "fetch":
            self._say(f"{name} has fetched {self._plan.name}")
            return None
        if verb == "model":
            report.state = "new"
        else:
            report.state = "reverted"
        expected = answer.result["new"]["sha256"]
        self._client.wait(lambda: view.model == expected, _BIRTH_SECONDS)
        self._say(f"{name} runs {answer.result['new']['name']}")
        return None

    def _watch(self) -> dict[str, str]:
        """Watch every station that this roll-out has switched; returns the regressions by station."""
        switched = [name for name, report in self._by_name.items() if report.state == "new"]
        if not self._plan.watch or not switched:
            return {}
        self._say(f"watching {', '.join(switched)} for {duration(self._plan.watch)}")
        watched = WatchedStations({name: self._client.views[name] for name in switched}, self._before, self._plan.model)
        end = time.monotonic() + self._plan.watch
        found: dict[str, str] = {}

        def is_over() -> bool:
            found.update(watched.regressions())
            # One that is offline now comes back soon, or is lost.
            return bool(found or self._stopping() or (time.monotonic() >= end and watched.all_present))

        while not self._client.wait(is_over, _TELL_SECONDS):
            self._say(f"{duration(max(0.0, end - time.monotonic()))} left")
        for name in switched:
            self._by_name[name].after = watched.frames(name)
        for name, fault in found.items():
            self._say(f"{name}: {fault}")
            self._by_name[name].why = fault
        return found

    def _stop(self, failures: Mapping[str, str]) -> None:
        """Take the stations back that this roll-out has switched."""
        self.report.ending = "stopped"
        self.report.reason = _listed(failures)
        self._settle()
        switched = [name for name, report in self._by_name.items() if report.state == "new"]
        if switched:
            self._say(f"going back: {', '.join(switched)}")
            self._ask_all(switched, "revert", lambda name: {"sha256": self._old[name]})

    def _settle(self) -> None:
        """Find out what stations run that went away before they answered, where they come back soon.

        A station that has started again carries out no command of before; of one that is still at it nobody knows.
        """
        unknown = [name for name, report in self._by_name.items() if report.state == "unknown"]
        views = self._client.views
        self._client.wait(lambda: all(views[name].absence is None for name in unknown), _BACK_SECONDS)
        for name in unknown:
            if views[name].absence is None and views[name].model == self._plan.model:
                self._by_name[name].state = "new"
            elif views[name].absence is None and views[name].boot_id != self._before[name].boot_id:
                self._by_name[name].state = "refused"


def _unfit(view: WatchedStation, needed: set[str]) -> str | None:
    if view.absence is not None or view.birth is None:
        return view.absence or f"there is no birth message on {view.topics.birth}"
    if lacking := needed - set(view.birth.commands):
        return f"its commands.verbs lack {' and '.join(sorted(lacking))}"
    return "a command has paused it" if "paused" in view.reasons else None


def _refuse(faults: Mapping[str, str]) -> None:
    if faults:
        raise StationsNotReadyError(
            f"{_listed(faults)}; nothing has changed anywhere; mend that, or leave the station out of --stations"
        )


def _listed(faults: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {fault}" for name, fault in faults.items())

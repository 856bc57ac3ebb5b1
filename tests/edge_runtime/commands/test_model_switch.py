from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.commands.actions import Result
from edge_runtime.commands.model_switch import ModelSwitch, Prepared
from edge_runtime.commands.models import open_at_start
from edge_runtime.commands.persisted import Persisted
from edge_runtime.commands.request import CommandError
from edge_runtime.frames.frame_inspector import FrameInspector
from latentline.errors import LatentlineError, PackageError
from tests.edge_runtime.commands.asker import check_answer
from tests.edge_runtime.fakes import FATAL, NOT_A_NUMBER, UNUSABLE, FakeInspector
from tests.waiting import wait_until

NEW = "cd" * 32


class Model(FakeInspector):
    """A fake that knows its name, which thread opened it, and whether it is closed."""

    def __init__(self, name: str, sha256: str = NEW) -> None:
        self.identity = replace(FakeInspector.identity, name=name, sha256=sha256)
        self.opened_by = threading.current_thread()
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A switch over a folder with the package `new`, what it made, remembered and answered."""

    def __init__(self, folder: Path) -> None:
        (folder / "models" / "new").mkdir(parents=True)
        self.old = Model("old", "ab" * 32)
        self.opened: list[Model] = []
        self.remembered: list[tuple[str, str]] = []
        self.answers: list[Result | LatentlineError] = []
        self.loaders: list[threading.Thread] = []
        self.fault: Exception | None = None
        self.full: LatentlineError | None = None
        self.switch = ModelSwitch(folder / "models", self.old, self._prepare, self._remember)

    def ask(self, name: str = "new", sha256: str | None = None) -> None:
        self.switch.request(name, sha256, self.answers.append)

    def finish(self, frame: Any = None) -> FrameInspector | None:
        """Run what is pending until there is an answer; what the last run returned."""
        returned: list[FrameInspector | None] = []

        def run() -> bool:
            returned.append(self.switch.run_pending(frame))
            return bool(self.answers)

        wait_until(run, "the answer")
        return returned[-1]

    def _prepare(self, path: Path) -> Prepared:
        self.loaders.append(threading.current_thread())
        if isinstance(self.fault, PackageError):
            raise self.fault
        return Prepared(NEW, self._open)

    def _open(self) -> FrameInspector:
        if self.fault is not None:
            raise self.fault
        self.opened.append(Model("new"))
        return self.opened[-1]

    def _remember(self, name: str, sha256: str) -> None:
        if self.full is not None:
            raise self.full
        self.remembered.append((name, sha256))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_new_model_takes_the_place_of_the_old(bench: Bench) -> None:
    """Loaded in another thread, opened in this one, checked, remembered; then the old one is closed."""
    bench.ask(sha256=NEW)
    new = bench.finish(np.full((4, 4, 1), 50, np.uint8))
    assert new is bench.switch.inspector is bench.opened[0]
    assert bench.opened[0].opened_by is threading.current_thread() is not bench.loaders[0]
    assert bench.remembered == [("new", NEW)] and (bench.old.closed, bench.opened[0].closed) == (1, 0)
    (answer,) = bench.answers
    assert isinstance(answer, dict) and answer["old"]["name"] == "old" and answer["new"]["sha256"] == NEW
    assert bench.switch.run_pending() is None
    bench.switch.close()
    assert bench.opened[0].closed == 1 and bench.old.closed == 1


def test_the_result_fits_the_schema(bench: Bench) -> None:
    """What a switch answers is what the schema promises."""
    from edge_runtime.commands.answers import succeeded

    bench.ask()
    bench.finish()
    assert isinstance(bench.answers[0], dict)
    check_answer(succeeded("s", "model", bench.answers[0]))


@pytest.mark.parametrize("fault", [PackageError("damaged"), LatentlineError("self-test"), MemoryError("no room")])
def test_a_model_that_does_not_open_changes_nothing(bench: Bench, fault: Exception) -> None:
    """A package that is not right, or does not pass its self-test, leaves the old model in its place."""
    bench.fault = fault
    bench.ask()
    assert bench.finish() is None
    (answer,) = bench.answers
    assert "model old stays" in str(answer) and str(fault) in str(answer)
    assert bench.switch.inspector is bench.old and bench.old.closed == 0 and bench.remembered == []
    bench.fault = None
    bench.answers.clear()
    bench.ask()
    assert bench.finish() is bench.switch.inspector is not bench.old


@pytest.mark.parametrize("level", [UNUSABLE, FATAL, NOT_A_NUMBER])
def test_a_model_that_fails_on_the_check_frame_is_not_taken(bench: Bench, level: int) -> None:
    """The first inspection must give a number; otherwise the new model is closed and the old one stays."""
    bench.ask()
    assert bench.finish(np.full((4, 4, 1), level, np.uint8)) is None
    assert isinstance(bench.answers[0], LatentlineError) and bench.opened[0].closed == 1
    assert bench.switch.inspector is bench.old and bench.remembered == []


def test_a_model_that_cannot_be_remembered_is_not_taken(bench: Bench) -> None:
    """A restart would come up with the old one, so the old one stays now."""
    bench.full = CommandError("the disk is full")
    bench.ask()
    assert bench.finish() is None and "disk is full" in str(bench.answers[0])
    assert bench.opened[0].closed == 1 and bench.old.closed == 0


def test_another_hash_is_refused(bench: Bench) -> None:
    """A package of another hash than the one asked for is not even opened."""
    bench.ask(sha256="ef" * 32)
    assert bench.finish() is None and "another one was asked for" in str(bench.answers[0]) and bench.opened == []


@pytest.mark.parametrize("name", ["absent", "../models/new", "/etc", ".", "..", "", "link", "a\0b"])
def test_no_path_leads_out_of_the_folder(bench: Bench, tmp_path: Path, name: str) -> None:
    """Only what lies directly in the folder is a package, not what a name or a link points to elsewhere."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "models" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(CommandError, match="no model package"):
        bench.ask(name)
    assert bench.loaders == []


def test_one_switch_at_a_time(bench: Bench) -> None:
    """While a model is loaded another wish is refused; when the station stops, the first is answered."""
    bench.ask()
    with pytest.raises(CommandError, match="not done yet"):
        bench.ask()
    bench.switch.close()
    assert "stopped" in str(bench.answers[0]) and bench.old.closed == 1


def _start(folder: Path, made: dict[str, Model | LatentlineError], wanted: tuple[str, str] | None) -> Any:
    persisted = Persisted(folder / "c.json", None, Path("yaml"))
    if wanted is not None:
        persisted.set_model(*wanted)

    def open_model(path: Path) -> Model:
        model = made[path.name]
        if isinstance(model, LatentlineError):
            raise model
        return model

    return open_at_start(open_model, Path("yaml"), folder, persisted)


def test_a_restart_comes_up_with_the_model_of_the_last_switch(tmp_path: Path) -> None:
    """The remembered package is opened, and without one the YAML's."""
    yaml, new = Model("yaml"), Model("new")
    assert _start(tmp_path, {"yaml": yaml}, None).inspector is yaml
    start = _start(tmp_path, {"yaml": yaml, "new": new}, ("new", NEW))
    assert start.inspector is new and start.fault is None


@pytest.mark.parametrize("found", [PackageError("gone"), Model("new", "00" * 32)])
def test_a_model_that_is_gone_or_changed_is_said(tmp_path: Path, found: Model | LatentlineError) -> None:
    """When the remembered package is not what it was, the YAML's model is used and the sentence names both."""
    yaml = Model("yaml")
    start = _start(tmp_path, {"yaml": yaml, "new": found}, ("new", NEW))
    assert start.inspector is yaml and "model new" in start.fault and "yaml is used" in start.fault
    assert not isinstance(found, Model) or found.closed == 1

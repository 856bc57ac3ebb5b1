from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.commands.actions import Result
from edge_runtime.commands.model_switch import LoadedPackage, ModelSwitch
from edge_runtime.commands.models import open_first_model
from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.request import CommandError
from edge_runtime.frames.frame_inspector import FrameInspector
from latentline.errors import LatentlineError, PackageError
from latentline.inspection.result import InspectionResult
from tests.edge_runtime.commands.requester import check_answer
from tests.edge_runtime.fakes import DARK, FATAL, NOT_A_NUMBER, UNUSABLE, FakeInspector
from tests.waiting import wait_until

NEW = "cd" * 32


class Model(FakeInspector):
    """A fake with a name, the thread that opened it, how often it was closed, and how it inspects."""

    def __init__(self, name: str, sha256: str = NEW, level: int = DARK) -> None:
        self._level = level
        self.identity = replace(FakeInspector.identity, name=name, sha256=sha256)
        self.opened_by = threading.current_thread()
        self.closed = 0

    def begin(self, image: npt.NDArray[np.uint8]) -> Callable[[], InspectionResult]:
        return super().begin(np.full_like(image, self._level))

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A switch over a folder with the package `new`; what it opened, saved and answered."""

    def __init__(self, folder: Path) -> None:
        (folder / "models" / "new").mkdir(parents=True)
        self.old = Model("old", "ab" * 32)
        self.opened: list[Model] = []
        self.saved: list[tuple[str, str]] = []
        self.answers: list[Result | LatentlineError] = []
        self.loaders: list[threading.Thread] = []
        self.fault: Exception | None = None
        self.disk_error: LatentlineError | None = None
        self.level = DARK  # how the new model inspects, see fakes
        self.switch = ModelSwitch(folder / "models", self.old, self._load, self._save)

    def ask(self, name: str = "new", sha256: str | None = None) -> None:
        self.switch.request(name, sha256, self.answers.append)

    def finish(self) -> FrameInspector | None:
        """Run what is pending until there is an answer; returns what the last run returned."""
        returned: list[FrameInspector | None] = []

        def run() -> bool:
            returned.append(self.switch.run_pending())
            return bool(self.answers)

        wait_until(run, "the answer")
        return returned[-1]

    def _load(self, path: Path) -> LoadedPackage:
        self.loaders.append(threading.current_thread())
        if isinstance(self.fault, PackageError):
            raise self.fault
        return LoadedPackage(NEW, self._open)

    def _open(self) -> FrameInspector:
        if self.fault is not None:
            raise self.fault
        self.opened.append(Model("new", level=self.level))
        return self.opened[-1]

    def _save(self, name: str, sha256: str) -> None:
        if self.disk_error is not None:
            raise self.disk_error
        self.saved.append((name, sha256))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_new_model_takes_the_place_of_the_old(bench: Bench) -> None:
    """The switch loads it in another thread, opens it in this one, checks and saves it, then closes the old one."""
    bench.ask(sha256=NEW)
    new = bench.finish()
    assert new is bench.switch.inspector is bench.opened[0]
    assert bench.opened[0].opened_by is threading.current_thread() is not bench.loaders[0]
    assert bench.saved == [("new", NEW)] and (bench.old.closed, bench.opened[0].closed) == (1, 0)
    (answer,) = bench.answers
    assert isinstance(answer, dict) and answer["old"]["name"] == "old" and answer["new"]["sha256"] == NEW
    assert bench.switch.run_pending() is None
    bench.switch.close()
    assert bench.opened[0].closed == 1 and bench.old.closed == 1


def test_the_result_fits_the_schema(bench: Bench) -> None:
    """The result of a switch fits the schema of answers."""
    from edge_runtime.commands.answers import succeeded

    bench.ask()
    bench.finish()
    assert isinstance(bench.answers[0], dict)
    check_answer(succeeded("s", "model", bench.answers[0]))


@pytest.mark.parametrize("fault", [PackageError("damaged"), LatentlineError("self-test"), MemoryError("no room")])
def test_a_model_that_does_not_open_changes_nothing(bench: Bench, fault: Exception) -> None:
    """When a package is damaged or fails its self-test, the old model stays."""
    bench.fault = fault
    bench.ask()
    assert bench.finish() is None
    (answer,) = bench.answers
    assert "model old stays" in str(answer) and str(fault) in str(answer)
    assert bench.switch.inspector is bench.old and bench.old.closed == 0 and bench.saved == []
    bench.fault = None
    bench.answers.clear()
    bench.ask()
    assert bench.finish() is bench.switch.inspector is not bench.old


@pytest.mark.parametrize("level", [UNUSABLE, FATAL, NOT_A_NUMBER])
def test_a_model_that_fails_at_its_first_frame_is_not_used(bench: Bench, level: int) -> None:
    """When its first inspection fails or gives no finite score, the new model is closed and the old one stays."""
    bench.level = level
    bench.ask()
    assert bench.finish() is None
    assert isinstance(bench.answers[0], LatentlineError) and bench.opened[0].closed == 1
    assert bench.switch.inspector is bench.old and bench.saved == []


def test_a_model_that_cannot_be_saved_is_not_used(bench: Bench) -> None:
    """A restart would open the old model, so the old one stays."""
    bench.disk_error = CommandError("the disk is full")
    bench.ask()
    assert bench.finish() is None and "disk is full" in str(bench.answers[0])
    assert bench.opened[0].closed == 1 and bench.old.closed == 0


def test_another_hash_is_refused(bench: Bench) -> None:
    """A package with another hash than the requested one is not opened."""
    bench.ask(sha256="ef" * 32)
    assert bench.finish() is None and "not the requested efef" in str(bench.answers[0]) and bench.opened == []


@pytest.mark.parametrize("name", ["absent", "../models/new", "/etc", ".", "..", "", "link", "a\0b"])
def test_no_path_leads_out_of_the_folder(bench: Bench, tmp_path: Path, name: str) -> None:
    """Only packages directly in the folder count, not what a name or a link points to elsewhere."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "models" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(CommandError, match="no model package"):
        bench.ask(name)
    assert bench.loaders == []


def test_a_package_that_does_not_load_blocks_no_later_switch(bench: Bench) -> None:
    """A loader that hangs is refused after its time, and what it brings later is not taken for another package."""
    hang, loaded = threading.Event(), threading.Event()
    load, now = bench._load, 0.0

    def hanging(path: Path) -> LoadedPackage:
        hang.wait(20)
        loaded.set()
        return LoadedPackage("late", bench._open)

    bench.switch = ModelSwitch(bench.switch._folder, bench.old, hanging, bench._save, lambda: now)
    bench.ask()
    assert not bench.switch.ready and bench.switch.run_pending() is None
    now = 121.0
    assert bench.switch.ready and bench.switch.run_pending() is None
    assert "model old stays: new was not loaded and tested within 120 s" in str(bench.answers.pop())
    bench.switch._load = load
    bench.ask()
    hang.set()
    assert loaded.wait(20)
    assert bench.finish() is bench.switch.inspector is bench.opened[0] and bench.saved == [("new", NEW)]


def test_no_thread_to_load_in_is_an_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine gives no thread, the request is refused, and the next one works."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(CommandError, match="cannot be loaded now"):
            bench.ask()
    bench.ask()
    assert bench.finish() is bench.switch.inspector is bench.opened[0]


def test_one_switch_at_a_time(bench: Bench) -> None:
    """While a model is loading, another request is refused; when the station stops, the first is answered."""
    bench.ask()
    with pytest.raises(CommandError, match="not done yet"):
        bench.ask()
    bench.switch.close()
    assert "stopped" in str(bench.answers[0]) and bench.old.closed == 1


def _start(folder: Path, made: dict[str, Model | LatentlineError], switched: tuple[str, str] | None) -> Any:
    overrides = Overrides(folder / "c.json", None, Path("yaml"))
    if switched is not None:
        overrides.set_model(*switched, "ab" * 32)

    def open_model(path: Path) -> Model:
        model = made[path.name]
        if isinstance(model, LatentlineError):
            raise model
        return model

    return open_first_model(open_model, Path("yaml"), folder, overrides)


def test_a_restart_comes_up_with_the_model_of_the_last_switch(tmp_path: Path) -> None:
    """A start opens the saved package, and without one the YAML's."""
    yaml, new = Model("yaml"), Model("new")
    assert _start(tmp_path, {"yaml": yaml}, None).inspector is yaml
    start = _start(tmp_path, {"yaml": yaml, "new": new}, ("new", NEW))
    assert start.inspector is new and start.fault is None


@pytest.mark.parametrize("found", [PackageError("gone"), Model("new", "00" * 32)])
def test_a_saved_model_that_is_gone_or_changed_is_a_fault(tmp_path: Path, found: Model | LatentlineError) -> None:
    """When the saved package is missing or another one, the YAML's model runs and the fault names both."""
    yaml = Model("yaml")
    start = _start(tmp_path, {"yaml": yaml, "new": found}, ("new", NEW))
    assert start.inspector is yaml and "model new" in start.fault and "uses yaml instead" in start.fault
    assert not isinstance(found, Model) or found.closed == 1

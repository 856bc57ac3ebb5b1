"""A candidate in shadow: a real package in a real process."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.config import StationConfig
from edge_runtime.shadow.settings import ShadowSection
from edge_runtime.shadow.shadow import Shadow, rest_seconds
from edge_runtime.station.station import Station
from edge_runtime.supervision.metrics import metrics_text
from latentline.base.strict_yaml import parse
from latentline.errors import PackageError
from latentline.model import open_model
from tests.edge_runtime.fakes import BRIGHT, DARK, FakeInspector, station_data, validate, write_picture
from tests.mosquitto import Mosquitto, Subscriber
from tests.packages import edit_manifest, write_tiny_package
from tests.waiting import wait_until

IDENTITY = FakeInspector.identity


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that calls every frame abnormal."""
    folder = write_tiny_package(tmp_path_factory.mktemp("models") / "candidate")
    edit_manifest(folder, lambda manifest: manifest["calibration"].update(threshold=-100.0))
    return folder


def _frame(level: int, number: int = 0) -> Frame:
    image = np.full((20, 24, 1), level, np.uint8)
    return Frame(image, datetime(2026, 11, 28, tzinfo=timezone.utc), "top", f"{number}.png", number)


def _offer(shadow: Shadow, level: int, number: int = 0) -> None:
    frame = _frame(level, number)
    shadow.offer(frame, FakeInspector().inspect(frame.picture), IDENTITY)


@contextmanager
def _running(model: Path, share: float = 0.9) -> Iterator[Shadow]:
    shadow = Shadow(ShadowSection(model=model, share=share))
    shadow.thread.start()
    try:
        yield shadow
    finally:
        shadow.close(10)
    assert not shadow.thread.alive


def _offer_many(shadow: Shadow, count: int) -> None:
    for _ in range(count):
        _offer(shadow, DARK)


def _offer_until(shadow: Shadow, level: int, done: Callable[[], bool], what: str) -> None:
    """Frames come, as from a camera, until something has happened."""

    def offered() -> bool:
        _offer(shadow, level)
        return done()

    wait_until(offered, what, 60)


def test_verdicts_of_both_models_are_counted(candidate: Path) -> None:
    """Of the frames that it had time for, each is counted once, and those with different verdicts are named. Another
    threshold starts the counts anew."""
    with _running(candidate) as shadow:
        _offer_until(shadow, DARK, lambda: shadow.numbers.scored >= 2, "two scores of dark frames")
        dark = shadow.numbers
        _offer_until(shadow, BRIGHT, lambda: shadow.numbers.scored >= dark.scored + 3, "scores of bright frames")
        numbers = shadow.numbers
        frame = _frame(DARK)
        shadow.offer(frame, FakeInspector().inspect(frame.picture).at_threshold(10.0, 3.0), IDENTITY)
        anew = shadow.numbers
    assert (anew.verdicts.only_new, anew.name) == (0, "tiny")
    with open_model(candidate, "openvino", threads=1) as model:
        assert (numbers.name, numbers.sha256, numbers.threshold) == ("tiny", model.identity.sha256, -100.0)
        margin = model.inspect(_frame(DARK).picture).score + 100
    assert numbers.verdicts.count == numbers.scored
    assert numbers.verdicts.only_new == len(numbers.changes) >= 2  # dark ones, normal by the running model
    assert numbers.verdicts.both >= 2  # bright ones
    change = numbers.changes[0]
    assert (change.camera, change.source, change.old_margin) == ("top", "0.png", DARK - 100.0)
    assert change.new_margin == margin
    assert numbers.skipped > 0 and numbers.milliseconds > 0 and numbers.error is None


def test_a_candidate_that_hangs_delays_no_frame_and_is_started_again_when_killed(candidate: Path) -> None:
    """While its process is stopped, frames are offered without a wait, and counted as skipped. Its end is counted and
    explained, and after a pause it scores again, without the loss of what was counted."""
    with _running(candidate) as shadow:
        _offer_until(shadow, DARK, lambda: shadow.numbers.scored >= 1, "a first score")
        assert shadow.pid is not None
        os.kill(shadow.pid, signal.SIGSTOP)
        before = shadow.numbers
        offering = threading.Thread(target=_offer_many, args=(shadow, 500))
        offering.start()
        offering.join(20)
        assert not offering.is_alive()
        assert shadow.numbers.skipped >= before.skipped + 498  # one was in work, and one waited
        os.kill(shadow.pid, signal.SIGKILL)
        _offer_until(shadow, DARK, lambda: shadow.numbers.failed == 1, "the end")
        assert "exit code -9" in (shadow.numbers.error or "")
        scored = shadow.numbers.scored
        _offer_until(shadow, DARK, lambda: shadow.numbers.scored > scored >= 1, "a score after the end")
        assert shadow.numbers.error is None


def _refuse(signature: object, source: str) -> None:
    raise PackageError(f"{source}: nobody has signed it")


def test_a_candidate_that_is_not_trusted_is_not_opened(candidate: Path) -> None:
    """Its process asks, as a switch to it would, and says why it was refused."""
    shadow = Shadow(ShadowSection(model=candidate), _refuse)
    shadow.thread.start()
    wait_until(lambda: shadow.numbers.error is not None, "the refusal", 60)
    shadow.close(10)
    assert "nobody has signed it" in (shadow.numbers.error or "")
    assert shadow.numbers.name == ""


def test_the_candidate_rests_so_that_it_keeps_to_its_share() -> None:
    """After a second of work at a tenth of the time it rests for nine."""
    assert rest_seconds(1.0, 0.1) == pytest.approx(9.0)
    assert rest_seconds(3.0, 0.5) == pytest.approx(3.0)


def test_a_candidate_that_cannot_be_opened_is_no_fault_of_the_station(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The station is online and inspects; `health` says what is wrong with the candidate."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    data["cameras"][0]["watch"] = True
    data["shadow"] = {"model": str(tmp_path / "missing.zip")}
    data["supervision"]["health_seconds"] = 1
    station = Station(parse(data, StationConfig, "-"), FakeInspector())
    running = threading.Thread(target=station.run)
    with Subscriber(mosquitto.port) as subscriber:
        running.start()
        write_picture(tmp_path / "pictures" / "a.png", BRIGHT)
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        health = subscriber.wait("health", lambda all_: all_[-1:] != [] and all_[-1].body["shadow"]["failed"] > 0)
        state = station.health.state
        station.stop()
        running.join(20)
    validate("v1/health", json.loads(json.dumps(health[-1].body)))
    assert "missing.zip" in health[-1].body["shadow"]["error"]
    assert state == "online"


def test_a_station_reports_its_candidate(candidate: Path, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Pictures of a folder are inspected and shadowed; `health`, `diagnostics` and metrics have the same numbers."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    data["cameras"][0]["watch"] = True
    data["shadow"] = {"model": str(candidate), "share": 0.9}
    station = Station(parse(data, StationConfig, "-"), FakeInspector())
    running = threading.Thread(target=station.run)
    running.start()
    wait_until(lambda: station.health.state == "online", "the station")
    for number in range(300):
        write_picture(tmp_path / "pictures" / f"{number}.png", DARK, (24, 20))
        wait_until(lambda number=number: station.summary.inspected > number, "the inspection")  # type: ignore[misc]
        shadow = station.snapshot().shadow
        assert shadow is not None
        if shadow.scored:
            break
    station.stop()
    running.join(20)
    snapshot = station.snapshot()
    assert snapshot.shadow is not None and snapshot.shadow.verdicts.only_new == snapshot.shadow.scored >= 1
    assert f'latentline_shadow_abnormal{{model="candidate"}} {float(snapshot.shadow.scored)}' in metrics_text(
        snapshot, "1"
    ).decode().replace('station="1",', "")

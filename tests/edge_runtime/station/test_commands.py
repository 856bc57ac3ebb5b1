"""Commands to a whole station: they change what it does, what it publishes, and how it starts again."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_runtime.config import StationConfig, load_station
from edge_runtime.station.configured import load_overrides, trust_of
from edge_runtime.station.station import Station
from export.signing import make_key, sign_package
from latentline.base.strict_yaml import parse
from latentline.model import open_model
from tests.edge_runtime.commands.requester import Requester
from tests.edge_runtime.fakes import BRIGHT, FakeInspector, station_data, validate, write_picture
from tests.mosquitto import Mosquitto, Subscriber
from tests.packages import edit_manifest, write_tiny_package

VERBS = ["capture", "pause", "resume", "threshold", "model", "revert", "diagnostics"]


def _data(folder: Path, port: int) -> dict[str, Any]:
    data = station_data(folder, port, results=True)
    data["cameras"][0]["watch"] = True
    data["station"]["id"], data["mqtt"]["root"] = "s", "l"  # the topics of Requester
    models = folder / "models"
    models.mkdir(exist_ok=True)
    data["commands"] = {"threshold": {"minimum": 1, "maximum": 240}, "models": str(models), "verbs": VERBS}
    return data


@contextmanager
def _running(data: dict[str, Any], inspector: Any = None) -> Iterator[Station]:
    station = Station(parse(data, StationConfig, "-"), inspector or FakeInspector())
    thread = threading.Thread(target=station.run)
    thread.start()
    try:
        yield station
    finally:
        station.stop()
        thread.join(20)
    assert not thread.is_alive()


def _ask(port: int, verb: str, **payload: Any) -> dict[str, Any]:
    with Requester(port) as requester:
        return requester.ask(verb, os.urandom(6), payload)


def test_a_threshold_is_set_published_and_kept(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The new threshold applies to the next frame, is in `birth`, and still applies after a restart."""
    mosquitto.start()
    data = _data(tmp_path, mosquitto.port)
    with Subscriber(mosquitto.port) as subscriber, _running(data):
        subscriber.wait_state("online")
        answer = _ask(mosquitto.port, "threshold", value=230)
        assert answer["ok"] and (answer["result"]["old"], answer["result"]["new"]) == (100.0, 230.0)
        birth = subscriber.wait("birth", lambda all_: all_[-1:] != [] and all_[-1].body["threshold"] == 230.0)
        validate("v1/birth", birth[-1].body)
        write_picture(tmp_path / "pictures" / "a.png", BRIGHT)
        (result,) = subscriber.wait("result", lambda all_: len(all_) == 1)
        assert result.body["threshold"] == 230.0 and not result.body["abnormal"]
    with _running(data) as station, Subscriber(mosquitto.port) as subscriber:
        birth = subscriber.wait(
            "birth", lambda all_: all_[-1:] != [] and all_[-1].body["boot_id"] != birth[-1].body["boot_id"]
        )
        assert birth[-1].body["threshold"] == 230.0 and station.snapshot().threshold == 230.0


def test_a_paused_station_inspects_nothing_until_resume(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A paused station is degraded and inspects nothing; after `resume` it inspects what waited in the folder."""
    mosquitto.start()
    with Subscriber(mosquitto.port) as subscriber, _running(_data(tmp_path, mosquitto.port)) as station:
        subscriber.wait_state("online")
        assert _ask(mosquitto.port, "pause")["ok"]
        (reason,) = subscriber.wait_state("degraded")["reasons"]
        assert reason["code"] == "paused"
        write_picture(tmp_path / "pictures" / "a.png", BRIGHT)
        diagnostics = _ask(mosquitto.port, "diagnostics")["result"]
        assert diagnostics["paused"] and diagnostics["inspected"] == 0 and "top" in diagnostics["cameras"]
        assert _ask(mosquitto.port, "resume")["ok"]
        subscriber.wait("defect", lambda all_: len(all_) == 1)
        assert station.summary.inspected == 1


def test_a_frame_is_captured_on_command(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A triggered camera gives one frame per command; the command is refused for a free-running camera."""
    mosquitto.start()
    data = _data(tmp_path, mosquitto.port)
    data["cameras"].append({"id": "bench", "kind": "simulator", "trigger": "command"})
    with Subscriber(mosquitto.port) as subscriber, _running(data):
        subscriber.wait_state("online")
        for count in (1, 2):
            answer = _ask(mosquitto.port, "capture", camera="bench")
            assert answer["ok"] and answer["result"]["cameras"] == ["bench"]
            subscriber.wait("cam/bench/result", lambda all_: len(all_) == count)  # noqa: B023
        assert "top" in _ask(mosquitto.port, "capture", camera="top")["error"]


def test_a_model_is_switched_and_a_broken_one_is_not(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The new package runs after its self-test, `birth` names it, and `revert` undoes it; a damaged one never runs."""
    mosquitto.start()
    data = _data(tmp_path, mosquitto.port)
    data["model"] = str(write_tiny_package(tmp_path / "first"))
    better = write_tiny_package(tmp_path / "models" / "better")
    edit_manifest(better, lambda manifest: manifest.update(name="better"))
    broken = write_tiny_package(tmp_path / "models" / "broken")
    (broken / "generator.onnx").write_bytes(b"not a graph")
    inspector = open_model(Path(data["model"]), "openvino", threads=1)
    with Subscriber(mosquitto.port) as subscriber, _running(data, inspector):
        subscriber.wait_state("online")
        refused = _ask(mosquitto.port, "model", name="broken")
        assert not refused["ok"] and "tiny stays" in refused["error"]
        answer = _ask(mosquitto.port, "model", name="better")
        assert answer["ok"], answer
        assert answer["result"]["new"]["name"] == "better"
        subscriber.wait("birth", lambda all_: all_[-1:] != [] and all_[-1].body["model"]["name"] == "better")
        write_picture(tmp_path / "pictures" / "a.png", BRIGHT, (40, 30))
        subscriber.wait("result", lambda all_: len(all_) == 1)
        assert "the model before has sha256" in _ask(mosquitto.port, "revert", sha256="0" * 64)["error"]
        back = _ask(mosquitto.port, "revert", sha256=answer["result"]["old"]["sha256"])
        assert back["ok"] and back["result"]["new"]["name"] == "tiny", back
        subscriber.wait("birth", lambda all_: all_[-1].body["model"]["name"] == "tiny")
        assert "there is no model to go back to" in _ask(mosquitto.port, "revert")["error"]
    assert load_overrides(parse(data, StationConfig, "-")).model is None


def test_a_reload_changes_the_threshold_of_a_running_station(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A reload applies a changed threshold; a wrong file changes nothing and is a fault until it is correct."""
    mosquitto.start()
    data, path = _data(tmp_path, mosquitto.port), tmp_path / "station.yaml"
    path.write_text(yaml.safe_dump(data))
    station = Station(load_station(path), FakeInspector(), path=path)

    def script() -> None:
        with Subscriber(mosquitto.port) as subscriber:
            try:
                subscriber.wait_state("online")
                for text, expected in (
                    (yaml.safe_dump({**data, "threshold": 55.0}), ("birth", lambda body: body["threshold"] == 55.0)),
                    ("cameras: 7", ("v1/status", lambda body: body["reasons"][0]["code"] == "config")),
                    (yaml.safe_dump({**data, "threshold": 66.0}), ("birth", lambda body: body["threshold"] == 66.0)),
                ):
                    path.write_text(text)
                    station.reload()  # what the handler of SIGHUP calls
                    topic, holds = expected
                    subscriber.wait(topic, lambda all_: any(_holds(holds, m.body) for m in all_))  # noqa: B023
                done.append(True)
            finally:
                station.stop()

    done: list[bool] = []
    thread = threading.Thread(target=script)
    thread.start()
    station.run()
    thread.join(10)
    assert done == [True]


def test_a_reload_says_when_the_running_model_is_not_trusted_any_more(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Its key was replaced: the station runs on, with a reason; when the key is back, the reason goes."""
    mosquitto.start()
    data, path = _data(tmp_path, mosquitto.port), tmp_path / "station.yaml"
    make_key(tmp_path / "key.pem", None, None)
    package = write_tiny_package(tmp_path / "tiny")
    signature = sign_package(package, tmp_path / "key.pem", None, 1, datetime.now(timezone.utc))
    data["commands"]["trusted_keys"] = [str(tmp_path / "key.pub.pem")]
    path.write_text(yaml.safe_dump(data))
    config = load_station(path)
    trust = trust_of(config)
    trust.use(signature)
    station = Station(config, FakeInspector(), trust=trust, path=path)
    thread = threading.Thread(target=station.run)
    thread.start()
    try:
        with Subscriber(mosquitto.port) as subscriber:
            subscriber.wait_state("online")
            kept = (tmp_path / "key.pub.pem").rename(tmp_path / "kept")
            make_key(tmp_path / "other.pem", None, None)
            (tmp_path / "other.pub.pem").rename(tmp_path / "key.pub.pem")
            station.reload()
            (reason,) = subscriber.wait_state("degraded")["reasons"]
            assert reason["code"] == "signature" and "but the next start refuses it" in reason["message"]
            kept.replace(tmp_path / "key.pub.pem")
            station.reload()
            subscriber.wait("v1/status", lambda all_: [message.body["state"] for message in all_][-1] == "online")
    finally:
        station.stop()
        thread.join(20)


def _holds(condition: Any, body: dict[str, Any]) -> bool:
    try:
        return bool(condition(body))
    except (KeyError, IndexError):
        return False


@pytest.mark.parametrize("verbs", [[], ["pause"]])
def test_a_verb_that_is_not_enabled_does_nothing(tmp_path: Path, mosquitto: Mosquitto, verbs: list[str]) -> None:
    """Without any verb the station subscribes to nothing; with another verb it refuses the command."""
    mosquitto.start()
    data = _data(tmp_path, mosquitto.port)
    data["commands"]["verbs"] = verbs
    with Subscriber(mosquitto.port) as subscriber, _running(data) as station:
        subscriber.wait_state("online")
        with Requester(mosquitto.port) as requester:
            requester.send("l/s/v1/cmd/threshold", b'{"value": 7}', correlation=b"1")
            if verbs:
                _, answer = requester.answer()
                assert not answer["ok"]
        assert station.snapshot().threshold == 100.0

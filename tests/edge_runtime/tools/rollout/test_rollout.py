"""Roll-outs to three stations in processes of their own, over a real broker."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_runtime.cli import main
from edge_runtime.mqtt.events import Messages, State
from export.signing import make_key, sign_package
from latentline.package.files import read_files, zipped
from latentline.package.model_package import load_package
from tests.edge_runtime.fakes import FakeInspector, station_data, write_picture
from tests.mosquitto import Mosquitto, Received, Subscriber
from tests.packages import edit_manifest, write_tiny_package
from tests.paths import ROOT
from tests.waiting import wait_until

_SECONDS = 120.0  # for anything that a busy machine may do late
NOON = datetime(2026, 11, 5, 12, 0, tzinfo=timezone.utc)


class Plant:
    """A broker, a share with signed packages, and the stations a, b and c; c fails each self-test but the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.share = folder / "share"
        self.share.mkdir()
        self.broker = Mosquitto(folder / "broker")
        self.broker.start()
        make_key(folder / "key.pem", None, None)
        self._tiny = write_tiny_package(folder / "tiny")
        self.old = self.package("old", 1)
        self.processes = {
            "a": self._start("a", "edge_runtime", "run"),
            "b": self._start("b", "edge_runtime", "run"),
            "c": self._start("c", "tests.edge_runtime.tools.rollout.faulty_station"),
        }

    def package(self, name: str, release: int, threshold: float = 1e9) -> Path:
        """A signed package on the share that differs from all others. Frames above the threshold are abnormal."""
        folder = shutil.copytree(self._tiny, self.folder / name)
        edit_manifest(folder, lambda manifest: manifest.update(name=name))
        edit_manifest(folder, lambda manifest: manifest["calibration"].update(threshold=threshold))
        path = self.share / f"{name}.zip"
        path.write_bytes(zipped(read_files(folder)))
        sign_package(path, self.folder / "key.pem", None, release, NOON)
        return path

    def arguments(self, package: Path, stations: str, *more: str) -> list[str]:
        """Of `latentline-edge`."""
        return [
            *("rollout", str(package), "--stations", stations, "--host", "127.0.0.1", "--port", str(self.broker.port)),
            *more,
        ]

    def _start(self, station: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        folder = self.folder / station
        (folder / "models").mkdir(parents=True)
        data = station_data(folder, self.broker.port)
        data["station"]["id"] = station
        data["cameras"][0]["watch"] = True
        data["supervision"]["health_seconds"] = 1
        data |= {"model": str(self.old), "backend": "openvino", "drift": None}
        data["commands"] = {
            "models": str(folder / "models"),
            "verbs": ["model", "revert", "fetch"],
            "fetch": {"source": str(self.share)},
            "trusted_keys": [str(self.folder / "key.pub.pem")],
        }
        path = folder / "station.yaml"
        path.write_text(yaml.safe_dump(data))
        with (folder / "log").open("wb") as log:
            return subprocess.Popen([sys.executable, "-m", module, *arguments, str(path)], cwd=ROOT, stderr=log)

    def pretend(self, station: str, state: State, commands: list[str]) -> None:
        """Publish what a station would, retained."""
        messages, publish = Messages(station), ["mosquitto_pub", "-p", str(self.broker.port), "-r"]
        for topic, message in (
            ("status", messages.status(state, {}, dict.fromkeys(("count", "bytes", "age"), 0))),
            ("birth", messages.birth("0.1.0", FakeInspector.identity, 1.0, {}, commands)),
        ):
            topics = ["-t", f"latentline/{station}/v1/{topic}", "-m", json.dumps(message)]
            subprocess.run([*publish, *topics], check=True)

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.broker.stop()


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    if shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("MOSQUITTO IS MISSING: the MQTT tests did not run; install the package `mosquitto`")
    plant = Plant(tmp_path_factory.mktemp("plant"))
    with Subscriber(plant.broker.port, "latentline/+/v1/status") as subscriber:
        for station in "abc":
            subscriber.wait(
                f"{station}/v1/status", lambda all_: bool(all_) and all_[-1].body["state"] == "online", _SECONDS
            )
    yield plant
    plant.close()


def _states(report: dict[str, Any]) -> dict[str, str]:
    return {station["station"]: station["state"] for station in report["stations"]}


def _check_models(plant: Plant, **expected: str) -> None:
    """Wait until the retained birth messages name these models."""
    with Subscriber(plant.broker.port, "latentline/+/v1/birth") as subscriber:

        def are_there(messages: list[Received]) -> bool:
            found = {message.body["station"]: message.body["model"]["name"] for message in messages}
            return all(found.get(station) == model for station, model in expected.items())

        subscriber.wait("birth", are_there, _SECONDS)


def test_one_station_that_fails_its_self_test_takes_all_back(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """The canary and the others run the old model again, the roll-out stops, and the report says which and why."""
    package = plant.package("bad", 2)
    assert main(plant.arguments(package, "a,b,c", "--fetch", "--watch", "0.5s", "--json")) == 1
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert report["ending"] == "stopped" and report["model"] == load_package(package).model_hash
    assert _states(report) == {"a": "reverted", "b": "reverted", "c": "refused"}
    assert report["reason"].startswith("c: model old stays: search_step.onnx computes wrong numbers here")
    assert [station["stage"] for station in report["stations"]] == [1, 2, 2]
    assert (
        "stage 1 of 2: a" in output.err and "watching a for 500 ms" in output.err and "going back: a, b" in output.err
    )
    _check_models(plant, a="old", b="old", c="old")
    assert (plant.folder / "c" / "models" / "bad.zip").read_bytes() == package.read_bytes()


def test_ctrl_c_says_what_runs_where_and_the_next_try_goes_on(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """The canary keeps the new model, the other one its old one; the next try brings it to those that lack it."""
    package = plant.package("good", 3)
    with _process(plant, package, "a,b", "--fetch", "--watch", "1h") as process:
        _wait_for("watching", process)
        process.send_signal(signal.SIGINT)
        report = json.loads(process.communicate()[0])
    assert process.returncode == 130 and _states(report) == {"a": "new", "b": "untouched"}
    assert report["ending"] == "interrupted" and "the same command goes on from here" in report["reason"]
    assert main(plant.arguments(package, "a,b", "--fetch", "--watch", "0s")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["a", "had"], ["b", "new"], ["roll-out", "of"]]
    assert lines[-1] == "roll-out of good.zip done"
    _check_models(plant, a="good", b="good", c="old")


def test_a_second_ctrl_c_waits_for_no_answer(plant: Plant) -> None:
    """The report says whose model nobody knows."""
    plant.pretend("silent", "online", ["model", "revert"])
    with _process(plant, plant.old, "silent", "--watch", "0s") as process:
        _wait_for("stage 1 of 1", process)
        process.send_signal(signal.SIGINT)
        _wait_for("waiting for the answers of silent", process)
        process.send_signal(signal.SIGINT)
        report = json.loads(process.communicate()[0])
    assert process.returncode == 130 and _states(report) == {"silent": "unknown"}
    assert "before all stations had answered" in report["reason"]


def test_a_package_of_a_stranger_is_refused(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """The canary says so; no other station is asked."""
    make_key(plant.folder / "stranger.pem", None, None)
    package = plant.package("strange", 9)
    sign_package(package, plant.folder / "stranger.pem", None, 9, NOON)
    assert main(plant.arguments(package, "a,b", "--fetch", "--watch", "0s", "--json")) == 1
    report = json.loads(capsys.readouterr().out)
    assert _states(report) == {"a": "refused", "b": "untouched"} and "which is not trusted" in report["reason"]


@contextmanager
def _process(plant: Plant, package: Path, stations: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A roll-out in a process of its own, which gets signals."""
    command = [sys.executable, "-m", "edge_runtime", *plant.arguments(package, stations, "--json", *more)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(words: str, process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    assert any(words in line for line in process.stderr), words


@contextmanager
def _watching(plant: Plant, package: Path, stations: str, capsys: pytest.CaptureFixture[str]) -> Iterator[list[Any]]:
    """Within the block a roll-out in a thread watches its canary; the list gets its report and exit code at the end."""
    ended: list[Any] = []
    arguments = plant.arguments(package, stations, "--fetch", "--json", "--watch", "1h")
    thread = threading.Thread(target=lambda: ended.append(main(arguments)))
    thread.start()
    said: list[str] = []

    def watches() -> bool:
        said.append(capsys.readouterr().err)
        return "watching" in "".join(said)

    wait_until(watches, "the watch", _SECONDS)
    yield ended
    thread.join(60)
    ended.insert(0, json.loads(capsys.readouterr().out))


def test_more_alarms_than_before_take_a_model_back(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """The canary inspects with a model that finds everything abnormal; the others never get it."""
    pictures = plant.folder / "a" / "pictures"
    numbers = itertools.count()

    def inspect(count: int) -> None:
        for number in itertools.islice(numbers, count):
            write_picture(pictures / f"{number:04}.png", 100, (16, 16))

    def newer(all_: list[Received]) -> bool:
        return len(all_) > len(seen)

    with Subscriber(plant.broker.port, "latentline/a/v1/health") as subscriber:
        inspect(30)
        subscriber.wait("health", lambda all_: bool(all_) and all_[-1].body["frames"]["inspected"] >= 30, _SECONDS)
        with _watching(plant, plant.package("alarming", 4, -1e9), "a,b", capsys) as ended:
            while not ended:
                seen = subscriber.messages("health")
                inspect(10)
                subscriber.wait("health", newer, _SECONDS)
    report, code = ended
    assert _states(report) == {"a": "reverted", "b": "untouched"} and code == 1
    assert report["reason"] == "a: 100.0% of its frames are abnormal, and 0.0% were before"
    assert report["stations"][0]["after"]["abnormal"] == report["stations"][0]["after"]["inspected"] > 0


def test_an_absent_station_is_one_sentence(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything has changed."""
    plant.pretend("gone", "offline", [])
    assert main(plant.arguments(plant.old, "a,gone")) == 2
    assert "gone: it is offline; nothing has changed anywhere; mend that, or leave" in capsys.readouterr().err


def test_a_package_that_cannot_be_fetched_changes_nothing(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """It is fetched by all before any station switches."""
    package = plant.package("elsewhere", 4)
    package = package.rename(plant.folder / package.name)
    assert main(plant.arguments(package, "a,b", "--fetch", "--json")) == 1
    report = json.loads(capsys.readouterr().out)
    assert _states(report) == {"a": "untouched", "b": "untouched"} and "there is no" in report["reason"]


def test_a_station_that_goes_while_it_is_watched_stops_the_roll_out(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    """It cannot be taken back, and the report says that somebody must look at it."""
    with _watching(plant, plant.package("last", 6), "b,a", capsys) as ended:
        plant.processes["b"].terminate()
    report, code = ended
    assert code == 1 and _states(report) == {"b": "unknown", "a": "untouched"}
    assert report["reason"] == "b: it is stopped" and "did not answer" in report["stations"][0]["why"]

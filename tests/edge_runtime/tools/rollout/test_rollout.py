"""Roll-outs to three stations in processes of their own, over a real broker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_runtime.cli import main
from export.signing import make_key, sign_package
from latentline.package.files import read_files, zipped
from latentline.package.model_package import load_package
from tests.edge_runtime.fakes import station_data
from tests.mosquitto import Mosquitto, Received, Subscriber
from tests.packages import edit_manifest, write_tiny_package
from tests.paths import ROOT

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
        self._processes = [
            self._start("a", "edge_runtime", "run"),
            self._start("b", "edge_runtime", "run"),
            self._start("c", "tests.edge_runtime.tools.rollout.faulty_station"),
        ]

    def package(self, name: str, release: int) -> Path:
        """A signed package on the share that differs from all others."""
        folder = shutil.copytree(self._tiny, self.folder / name)
        edit_manifest(folder, lambda manifest: manifest.update(name=name))
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
        data |= {"model": str(self.old), "backend": "openvino"}
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

    def close(self) -> None:
        """End everything."""
        for process in self._processes:
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
                f"{station}/v1/status", lambda all_: bool(all_) and all_[-1].body["state"] == "online", 60.0
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

        subscriber.wait("birth", are_there)


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


def test_a_good_package_arrives_and_is_not_brought_twice(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """Every station runs it, also after the failed release; the same command again changes nothing."""
    arguments = plant.arguments(plant.package("good", 3), "a,b", "--fetch", "--watch", "0s")
    assert main(arguments) == 0
    assert "roll-out of good.zip done" in capsys.readouterr().out
    _check_models(plant, a="good", b="good", c="old")
    assert main([*arguments, "--json"]) == 0
    assert _states(json.loads(capsys.readouterr().out)) == {"a": "had it", "b": "had it"}


def test_a_package_of_a_stranger_is_refused(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """The canary says so; no other station is asked."""
    make_key(plant.folder / "stranger.pem", None, None)
    package = plant.package("strange", 9)
    sign_package(package, plant.folder / "stranger.pem", None, 9, NOON)
    assert main(plant.arguments(package, "a,b", "--fetch", "--watch", "0s", "--json")) == 1
    report = json.loads(capsys.readouterr().out)
    assert _states(report) == {"a": "refused", "b": "untouched"} and "which is not trusted" in report["reason"]


def test_an_absent_station_is_one_sentence(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything has changed."""
    with Subscriber(plant.broker.port, "latentline/gone/v1/status"):
        status = {"schema_version": 1, "station": "gone", "boot_id": "b", "at": "t", "state": "offline", "reasons": []}
        publish = ["mosquitto_pub", "-p", str(plant.broker.port), "-r", "-m", json.dumps(status)]
        subprocess.run([*publish, "-t", "latentline/gone/v1/status"], check=True)
        birth = {**status, "software": {"name": "l", "version": "0"}, "model": {"name": "m", "sha256": "0" * 64}}
        birth |= {"backend": "b", "threshold": 1.0, "cameras": []}
        publish[-1] = json.dumps(birth)
        subprocess.run([*publish, "-t", "latentline/gone/v1/birth"], check=True)
    assert main(plant.arguments(plant.old, "a,gone")) == 2
    assert "gone: it is offline; nothing has changed anywhere; mend that, or leave" in capsys.readouterr().err


def test_a_package_that_cannot_be_fetched_changes_nothing(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """It is fetched by all before any station switches."""
    package = plant.package("elsewhere", 4)
    package = package.rename(plant.folder / package.name)
    assert main(plant.arguments(package, "a,b", "--fetch", "--json")) == 1
    report = json.loads(capsys.readouterr().out)
    assert _states(report) == {"a": "untouched", "b": "untouched"} and "there is no" in report["reason"]


def test_ctrl_c_says_what_runs_where_and_the_next_try_goes_on(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is half done: the canary keeps the new model, the other one its old one."""
    arguments = plant.arguments(plant.package("next", 5), "a,b", "--fetch", "--json", "--watch")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "edge_runtime", *arguments, "1h"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None and process.stdout is not None
        assert any("watching a" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        report = json.loads(process.stdout.read())
        assert process.wait(20) == 130
    assert report["ending"] == "interrupted" and "the same command goes on from here" in report["reason"]
    assert _states(report) == {"a": "new", "b": "untouched"}
    capsys.readouterr()
    assert main([*arguments, "0s"]) == 0
    assert _states(json.loads(capsys.readouterr().out)) == {"a": "had it", "b": "new"}

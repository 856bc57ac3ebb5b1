from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from edge_runtime import cli
from edge_runtime.config import StationConfig, load_station
from edge_runtime.station.command_warning import command_warning
from edge_runtime.station.station import Station
from edge_runtime.tools.check import check_station
from latentline.base.strict_yaml import parse
from latentline.errors import PackageError
from tests.edge_runtime.fakes import DARK, FakeInspector, station_data, write_picture
from tests.mosquitto import Mosquitto


def _open(path: Path, backend: str, *, gpu: object, admit: object) -> FakeInspector:
    return FakeInspector()


def _write(tmp_path: Path, port: int) -> Path:
    path = tmp_path / "station.yaml"
    path.write_text(yaml.safe_dump(station_data(tmp_path, port)))
    return path


def test_everything_is_checked(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """On a good station config, model, self-test, camera and broker all pass."""
    mosquitto.start()
    path = _write(tmp_path, mosquitto.port)
    write_picture(tmp_path / "pictures" / "a.png", DARK)
    findings = list(check_station(path, _open))
    assert [(finding.subject, finding.ok) for finding in findings] == [
        (subject, True) for subject in ("config", "spool", "model", "self-test", "camera", "broker", "topics")
    ]
    assert re.search(r"gives 8 x 6 px, 1 channel; 1 tile, \d+ ms an image$", findings[4].message)


def test_frames_unlike_those_behind_the_threshold_are_a_warning(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The station works with them, and its false alarms are not those that were promised."""
    mosquitto.start()
    monkeypatch.setattr(FakeInspector, "identity", replace(FakeInspector.identity, frame_sizes=((2000, 500),)))
    path = _write(tmp_path, mosquitto.port)
    write_picture(tmp_path / "pictures" / "a.png", DARK)
    (camera,) = (f for f in check_station(path, _open) if f.subject == "camera")
    assert camera.ok and camera.warning
    assert "top gives frames of 8 x 6 px, and the threshold of fake rests on images of 2000 x 500 px" in camera.message


def test_each_fault_is_its_own_finding(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A broken package, an empty folder and an absent broker are three findings, each with its sentence."""

    def refuse(path: Path, backend: str, *, gpu: object, admit: object) -> FakeInspector:
        raise PackageError(f"{path}: not a package")

    findings = list(check_station(_write(tmp_path, mosquitto.port), refuse))
    assert [(finding.subject, finding.ok) for finding in findings] == [
        ("config", True),
        ("spool", True),
        ("model", False),
        ("camera", False),
        ("broker", False),
    ]
    assert "cannot be reached" in findings[-1].message


def test_pictures_of_a_kind_that_nobody_reads_are_named(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A watched folder may wait for its first picture; where others lie in it, they are why none comes."""
    data = station_data(tmp_path, mosquitto.port)
    (tmp_path / "pictures").mkdir(exist_ok=True)
    (tmp_path / "pictures" / "a.heic").write_bytes(b"")
    data["cameras"][0] |= {"watch": True, "stall_seconds": 0.1}
    path = tmp_path / "station.yaml"
    path.write_text(yaml.safe_dump(data))
    camera = next(finding for finding in check_station(path, _open) if finding.subject == "camera")
    assert camera.ok and camera.message.endswith("yet, and pictures such as a.heic are of a kind that is not read")


@pytest.mark.parametrize(("name", "found"), [("good.zip", True), ("broken.zip", False)])
def test_the_candidate_in_shadow_is_opened(name: str, found: bool, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A station file that names a candidate has it checked, by the same trust as the model."""

    def open_one(path: Path, backend: str, *, gpu: object, admit: object) -> FakeInspector:
        if path.name == "broken.zip":
            raise PackageError(f"{path}: not a package")
        return FakeInspector()

    path = tmp_path / "station.yaml"
    path.write_text(yaml.safe_dump({**station_data(tmp_path, mosquitto.port), "shadow": {"model": name}}))
    findings = {finding.subject: finding for finding in check_station(path, open_one)}
    assert findings["model"].ok
    assert findings["shadow"].ok is found
    assert ("fake" if found else "not a package") in findings["shadow"].message


@pytest.mark.parametrize(
    ("mqtt", "lacking"),
    [
        ({}, "no TLS (mqtt.tls) and no password"),
        ({"username": "u", "password_env": "P"}, "no TLS (mqtt.tls): "),
        ({"tls": {}}, "no password (mqtt.username): "),
        ({"tls": {}, "username": "u"}, "no password (mqtt.username): "),
        ({"tls": {}, "username": "u", "password_env": "P"}, None),
        ({"tls": {"certificate": "c", "key": "k"}}, None),
    ],
)
def test_commands_over_an_open_connection_are_warned_of(
    tmp_path: Path, mqtt: dict[str, Any], lacking: str | None
) -> None:
    """Without TLS or without a password the warning names what is missing; without commands there is none."""
    data = station_data(tmp_path, 1883, **mqtt)
    assert command_warning(parse(data, StationConfig, "-")) is None
    sentence = command_warning(parse({**data, "commands": {"verbs": ["pause"]}}, StationConfig, "-"))
    assert (sentence is None) == (lacking is None) and (lacking or "") in (sentence or "")


def test_check_and_station_warn_of_open_commands(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """`check` marks the line as a warning and still exits with 0; the station logs the sentence when it starts.

    A package that no command can name is a warning of `check`, too.
    """
    monkeypatch.setitem(sys.modules, "latentline.model", SimpleNamespace(open_model=_open))
    mosquitto.start()
    path = _write(tmp_path, mosquitto.port)
    path.write_text(path.read_text() + "commands: {verbs: [pause], models: models}\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "my model.zip").touch()
    write_picture(tmp_path / "pictures" / "a.png", DARK)
    assert cli.main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "\nWARN   commands" in out and "no command can switch a station to 'my model.zip': rename" in out
    Station(load_station(path), FakeInspector()).run()
    assert "may command this station" in caplog.text


@pytest.mark.parametrize("verb", ["check", "run"])
def test_help_says_what_it_needs_and_how_it_ends(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks for help learns where a station file comes from, and what the exit codes mean."""
    with pytest.raises(SystemExit, match="0"):
        cli.main([verb, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "configs/station/" in said and "Exit codes: 0" in said


def test_config_fault_ends_the_check(tmp_path: Path) -> None:
    """A file that cannot be read is the only finding."""
    (finding,) = check_station(tmp_path / "nowhere.yaml", _open)
    assert (finding.subject, finding.ok) == ("config", False)


def test_command_prints_json_and_exit_code(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check --json` prints the findings as JSON and exits with 2 when one fails; `check` prints one line for each."""
    monkeypatch.setitem(sys.modules, "latentline.model", SimpleNamespace(open_model=_open))
    path = _write(tmp_path, mosquitto.port)
    write_picture(tmp_path / "pictures" / "a.png", DARK)
    assert cli.main(["check", "--json", str(path)]) == 2
    findings = json.loads(capsys.readouterr().out)
    assert [finding["subject"] for finding in findings if not finding["ok"]] == ["broker"]
    mosquitto.start()
    assert cli.main(["check", str(path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7


def test_run_command_inspects_to_the_end(tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` opens the package, inspects a folder to its end and exits with 0; with 2 after an error in the config."""
    monkeypatch.setattr(FakeInspector, "package", SimpleNamespace(signature=None), raising=False)
    monkeypatch.setitem(sys.modules, "latentline.model", SimpleNamespace(open_model=_open))
    mosquitto.start()
    path = _write(tmp_path, mosquitto.port)
    write_picture(tmp_path / "pictures" / "a.png", DARK)
    assert cli.main(["run", str(path)]) == 0
    assert cli.main(["run", str(tmp_path / "nowhere.yaml")]) == 2

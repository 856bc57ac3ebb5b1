"""The main job from end to end: images -> fit -> package -> verify -> check -> run -> mosquitto_sub."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from edge_runtime.cli import main as edge
from export.cli import main as export
from tests.mosquitto import Mosquitto
from tests.paths import ROOT
from tests.whole_job import whole_job
from trainer.cli import load_config
from trainer.cli import main as train
from trainer.run.fit import fit

SCHEMA = ROOT / "docs" / "mqtt" / "defect.schema.json"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, exported_once: None) -> Path:
    """A folder with a trained run and its package, made by the commands of the README."""
    work = tmp_path_factory.mktemp("work")
    shutil.copytree(whole_job() / "run", work / "run")
    package = ["package", str(work / "run"), str(work / "model.zip"), "--false-alarm-rate", "0.1", "--name", "stripes"]
    assert export(package) == 0
    return work


def _station(work: Path, port: int, folder: Path) -> Path:
    path = folder / "station.yaml"
    station = {
        "station": {"id": "line-1"},
        "model": str(work / "model.zip"),
        "cameras": [{"kind": "folder", "source": str(whole_job() / "images" / "test" / "square")}],
        "mqtt": {"host": "127.0.0.1", "port": port},
        "spool": {"path": str(folder / "spool.sqlite")},
        "supervision": {"http_port": None},  # another station may have the usual port
    }
    path.write_text(yaml.safe_dump(station))
    return path


def test_defects_in_images_reach_mosquitto_sub(work: Path, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Painted squares are reported as defects, and the events that mosquitto_sub prints fit the published schema."""
    mosquitto.start()
    topic = "latentline/line-1/v1/#"
    command = ["mosquitto_sub", "-V", "5", "-q", "1", "-p", str(mosquitto.port), "-t", topic, "-v"]
    subscriber = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    mosquitto.wait_for_log(r"Sending SUBACK")
    try:
        assert edge(["run", str(_station(work, mosquitto.port, tmp_path))]) == 0
        assert subscriber.stdout is not None
        received = []
        for line in subscriber.stdout:
            topic, payload = line.split(" ", 1)
            received.append((topic.removeprefix("latentline/line-1/v1/"), json.loads(payload)))
            if received[-1][0] == "status" and received[-1][1]["state"] == "stopped":
                break
    finally:
        subscriber.send_signal(signal.SIGTERM)
        subscriber.communicate(timeout=10)
    events = [body for topic, body in received if topic == "cam/main/defect"]
    assert events and [e["seq"] for e in events] == list(range(1, len(events) + 1))
    for event in events:
        jsonschema.validate(event, json.loads(SCHEMA.read_text()))
        assert event["model"]["name"] == "stripes" and event["defects"]


def test_the_package_verifies_against_its_checkpoint(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`verify` compares loss and gradient with a float64 reference in every runtime, and exits 0."""
    assert export(["verify", str(work / "model.zip"), "--checkpoint", str(work / "run"), "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert all(check["passed"] for check in checks)
    assert any("encoder.onnx in OpenVINO and the checkpoint" in check["what"] for check in checks)


def test_check_finds_what_does_not_work(
    work: Path, tmp_path: Path, mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` exits 0 when everything works; without a broker it exits 2 and finds nothing else wrong."""
    station = _station(work, mosquitto.port, tmp_path)
    mosquitto.start()
    assert edge(["check", str(station), "--json"]) == 0
    mosquitto.stop()
    capsys.readouterr()
    assert edge(["check", str(station), "--json"]) == 2
    findings = {f["subject"]: f["ok"] for f in json.loads(capsys.readouterr().out)}
    assert findings.pop("broker") is False and all(findings.values())


def test_too_few_held_out_images_give_no_package(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A false-alarm rate of 1 % with fewer than 99 scored normals gives one sentence, exit code 2 and no files."""
    out = tmp_path / "model"
    assert export(["package", str(work / "run"), str(out), "--false-alarm-rate", "0.01"]) == 2
    assert "at least 99 held-out normal images" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_its_encoder_is_not_packaged(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that stopped before its encoder is refused, and the sentence says how to resume it."""
    fit(load_config(whole_job() / "train.yaml", None), tmp_path / "run", stop_after=48)
    assert export(["package", str(tmp_path / "run"), str(tmp_path / "model")]) == 2
    assert "fit --resume" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["nowhere", "."])
def test_a_folder_that_is_no_checkpoint_is_refused(
    tmp_path: Path, argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is no checkpoint gives one sentence and exit code 2."""
    assert export(["package", str(tmp_path / argument), str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert ("there is no such folder" if argument == "nowhere" else "not a checkpoint folder") in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--iterations", "-1"],
        ["--iterations", "many"],
        ["--false-alarm-rate", "0"],
        ["--false-alarm-rate", "1.5"],
        ["--false-alarm-rate", "few"],
    ],
)
@pytest.mark.parametrize("command", [export, train])
def test_a_wrong_number_is_refused(
    command: Callable[[list[str]], int], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that argparse cannot accept gives exit code 2 and a sentence that names the argument."""
    verb = "package" if command is export else "evaluate"
    with pytest.raises(SystemExit, match="2"):
        command([verb, "run", "out", *arguments])
    assert f"argument {arguments[0]}: '{arguments[1]}' is not a" in capsys.readouterr().err

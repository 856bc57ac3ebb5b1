"""A real package, switched to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from edge_runtime.commands.actions import Result
from edge_runtime.commands.model_switch import ModelSwitch
from edge_runtime.commands.models import load_for_switch
from edge_runtime.commands.request import CommandError
from latentline.backends.settings import GpuSettings
from latentline.errors import LatentlineError, PackageError
from latentline.model import open_model
from latentline.package.model_package import load_package
from tests.packages import edit_manifest, rewrite, write_tiny_package
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("tiny") / "tiny")


def _switched(switch: ModelSwitch, name: str) -> Result | LatentlineError:
    answers: list[Result | LatentlineError] = []
    switch.request(name, None, answers.append)
    wait_until(lambda: switch.run_pending() or answers, "the switch")
    return answers[0]


def test_a_model_that_searches_too_long_is_refused(tmp_path: Path, package: Path) -> None:
    """By a few of its steps; an impossible number of them already by its manifest. A fast one opens within a budget."""
    slow = shutil.copytree(package, tmp_path / "slow")
    edit_manifest(slow, lambda manifest: manifest["search"].update(iterations=10_000))
    with pytest.raises(CommandError, match=r"its search of 10000 steps would take \d+ s for one tile here"):
        load_for_switch(slow, "openvino", GpuSettings(), budget=1e-3)
    edit_manifest(slow, lambda manifest: manifest["search"].update(iterations=10))
    load_for_switch(slow, "openvino", GpuSettings(), budget=1e3).open().close()
    edit_manifest(slow, lambda manifest: manifest["search"].update(iterations=1_000_000_000))
    with pytest.raises(PackageError, match=r"search\.iterations"):
        load_for_switch(slow, "openvino", GpuSettings())


def test_a_model_that_is_too_slow_for_the_frames_of_the_station_is_refused(tmp_path: Path, package: Path) -> None:
    """A search that is fast enough for one tile may take minutes for a frame of many."""
    slow = shutil.copytree(package, tmp_path / "slow")
    edit_manifest(slow, lambda manifest: manifest["search"].update(iterations=200))
    size, channels = load_package(slow).spec.tile_size, load_package(slow).spec.channels
    frame = (300 * size, 300 * size, channels)
    with pytest.raises(CommandError, match=r"200 steps would take \d+ s for a frame of \d{4,} tiles here, more than"):
        load_for_switch(slow, "openvino", GpuSettings(), 30.0, frame)


def test_pipes_and_devices_are_no_packages(tmp_path: Path, package: Path) -> None:
    """A FIFO in place of a package, or in one, is refused at once, and the next switch works."""
    os.mkfifo(tmp_path / "pipe.zip")
    shutil.copytree(package, tmp_path / "with-pipe")
    (tmp_path / "with-pipe" / "generator.onnx").unlink()
    os.mkfifo(tmp_path / "with-pipe" / "generator.onnx")
    shutil.copytree(package, tmp_path / "good")
    switch = ModelSwitch(
        tmp_path,
        open_model(package, "openvino"),
        lambda path: load_for_switch(path, "openvino", GpuSettings()),
        lambda *_: None,
    )
    assert "neither a folder nor a file" in str(_switched(switch, "pipe.zip"))
    assert "not a plain file" in str(_switched(switch, "with-pipe"))
    assert isinstance(_switched(switch, "good"), dict)
    switch.close()


def test_real_packages_are_switched_and_bad_ones_are_not(tmp_path: Path, package: Path) -> None:
    """A good package takes over; one that is damaged, or does not compute what its self-test says, does not."""
    for name in ("good", "damaged", "wrong"):
        shutil.copytree(package, tmp_path / name)
    with (tmp_path / "damaged" / "generator.onnx").open("ab") as file:
        file.write(b"x")
    rewrite(tmp_path / "wrong", "search_step.onnx", (package / "generator.onnx").read_bytes())
    old = open_model(package, "openvino")
    remembered: list[tuple[str, str]] = []
    switch = ModelSwitch(
        tmp_path,
        old,
        lambda path: load_for_switch(path, "openvino", GpuSettings()),
        lambda name, sha256: remembered.append((name, sha256)),
    )
    for name in ("damaged", "wrong"):
        assert "stays" in str(_switched(switch, name)) and switch.inspector is old
    answer = _switched(switch, "good")
    assert isinstance(answer, dict) and answer["new"]["sha256"] == old.identity.sha256
    assert switch.inspector is not old and remembered == [("good", old.identity.sha256)]
    shutil.rmtree(tmp_path / "good")  # under the running station: it has all of it in memory
    assert _switched(switch, "damaged")
    switch.close()

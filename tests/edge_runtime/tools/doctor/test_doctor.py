"""The doctor's report is useful on a machine without a GPU, and its comparisons catch every planted fault."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_runtime.cli import main
from edge_runtime.tools.doctor import command, examination
from edge_runtime.tools.doctor.conformance import BackendComparison, conformance, loss_curve
from edge_runtime.tools.doctor.facts import Fact
from edge_runtime.tools.doctor.report import to_text
from edge_runtime.tools.doctor.timing import Timing, timed
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.settings import Backend, GpuSettings
from latentline.errors import BackendError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.reconstructor import ReconstructedFrame
from latentline.package.model_package import ModelPackage, load_package
from latentline.search.searcher import SearchResult
from tests.checkpoints import exported
from tests.packages import write_random_package, write_tiny_package
from tests.paths import ROOT


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return load_package(write_tiny_package(tmp_path_factory.mktemp("doctor") / "package"))


class Twin:
    """A backend that is the CPU itself, with planted faults."""

    def __init__(self, package: ModelPackage, cpu: OpenVinoSearcher, **faults: float) -> None:
        self._package, self._cpu = package, cpu
        self._host = HostReconstructor(cpu, package.tiler, package.statistics)
        self.faults = SimpleNamespace(**{"loss": 0.0, "map": 0.0, "value": 0.0, "repeat": 0.0} | faults)
        self._calls = 0

    def reconstruct(self, frame: np.ndarray) -> ReconstructedFrame:
        reconstructed = self._host.reconstruct(frame)
        self._calls += 1
        reconstructed.anomaly_map[0, 0] += self.faults.map + self._calls * self.faults.repeat
        reconstructed.values["feature"] += self.faults.value
        return reconstructed

    def search(self, tiles: np.ndarray) -> SearchResult:
        return self._cpu.search(tiles)

    def trace(self, tiles: np.ndarray) -> np.ndarray:
        curve: np.ndarray = loss_curve(self._package, self._cpu, tiles) * np.float32(1 + self.faults.loss)
        return curve


def _failures(package: ModelPackage, **faults: float) -> list[BackendComparison]:
    cpu = OpenVinoSearcher(package, threads=1)
    try:
        compared = list(conformance(package, cpu, Twin(package, cpu, **faults), "fp32"))
    finally:
        cpu.close()
    assert len(compared) >= 4 * 8
    return [comparison for comparison in compared if not comparison.passed]


def test_the_cpu_conforms_to_itself(package: ModelPackage) -> None:
    """A backend that computes the same as the CPU passes every comparison."""
    assert _failures(package) == []


def test_a_map_that_is_0_everywhere_is_compared(package: ModelPackage) -> None:
    """A one-sided map of frames that differ less than usual passes, and a fault in it is caught."""
    statistics = replace(package.statistics, kind="l2", mean=package.statistics.mean + 9)
    quiet = replace(package, statistics=statistics)
    assert _failures(quiet) == []
    assert any("anomaly map" in comparison.what for comparison in _failures(quiet, map=0.01))


@pytest.mark.parametrize(
    ("fault", "size", "caught_by"),
    [
        ("loss", 0.1, "loss curve"),
        ("loss", 0.01, "first loss"),
        ("loss", float("nan"), "loss curve"),
        ("map", 1.0, "anomaly map"),
        ("map", float("nan"), "anomaly map"),
        ("value", 0.1, "components"),
        ("value", float("nan"), "score"),
        ("repeat", 1e-3, "the same frame again"),
    ],
)
def test_a_planted_fault_is_caught(package: ModelPackage, fault: str, size: float, caught_by: str) -> None:
    """Each kind of wrong result, NaN included, fails the comparison that is made for it."""
    assert any(caught_by in comparison.what for comparison in _failures(package, **{fault: size}))


def test_the_report_is_useful_without_a_gpu(tmp_path: Path) -> None:
    """The command says what is missing, examines the CPU, writes both files and exits with 0."""
    package = write_tiny_package(tmp_path / "package")
    arguments = [sys.executable, "-m", "edge_runtime", "doctor", str(package), "--seconds", "0.1", "--output", "report"]
    environment = {**os.environ, "LATENTLINE_CACHE": str(tmp_path / "cache"), "CUDA_VISIBLE_DEVICES": "-1"}
    environment["PYTHONPATH"] = str(ROOT)
    ran = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    text = (tmp_path / "report" / "doctor.txt").read_text()
    assert text in ran.stdout and "backend openvino: passed" in text and "backend tensorrt cannot run here" in text
    report = json.loads((tmp_path / "report" / "doctor.json").read_text())
    topics = {fact["topic"] for fact in report["facts"]}
    assert {"Python", "OpenCV", "GPU", "TensorRT", "NVRTC", "pycuda", "model", "engine cache"} <= topics
    assert report["backends"][0]["passed"] and report["backends"][0]["frame_ms"]["median"] > 0
    assert "search_ms" not in report, "no GPU was timed"


def test_a_machine_is_examined_with_a_search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a package of the user's, the demo's model searches, though the demo itself does not."""
    examined: list[int] = []

    def examine(package: ModelPackage, *_: object) -> examination.DoctorReport:
        examined.append(package.spec.search.iterations)
        raise BackendError("enough seen")

    monkeypatch.setattr(command, "examine", examine)
    assert main(["doctor", "--output", str(tmp_path / "report")]) == 2
    assert examined == [10]


@pytest.mark.parametrize(("backend", "passed"), [("auto", True), ("openvino", True), ("tensorrt", False)])
def test_a_gpu_that_is_configured_must_be_there(
    package: ModelPackage, backend: Backend, passed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine without TensorRT fails when the station requires it; otherwise the CPU is enough."""

    def missing() -> None:
        raise BackendError("there is no GPU")

    monkeypatch.setattr(examination, "import_pycuda", missing)
    report = examination.examine(package, backend, GpuSettings(cache=tmp_path), 0, lambda line: None)
    assert report.passed is passed
    assert ("backend tensorrt: FAILED: there is no GPU" in to_text(report)) is not passed


def test_a_user_without_a_home_gets_a_report(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing default cache folder is a fact of the report and does not end it."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    for name in ("LATENTLINE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (fact,) = examination.cache_facts(package, GpuSettings())
    assert fact.ok is False and "LATENTLINE_CACHE" in fact.value


def test_a_target_that_is_no_package_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong path exits with 2 and one sentence, and writes no report."""
    assert main(["doctor", str(tmp_path / "nothing"), "--output", str(tmp_path / "report")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "nothing" in error and not (tmp_path / "report").exists()


def test_names_in_the_report_control_no_terminal() -> None:
    """A camera, a package or an error may hold any text; each stays one line of the report."""
    report = examination.DoctorReport(0, "fp32", [Fact("model", "a\x1b[2J\nok      model   forged", True)])
    report.backends.append(
        examination.BackendReport("openvino", problem="no\x1b]0;title\x07\nbackend tensorrt: passed")
    )
    text = to_text(report)
    assert "\\x1b[2J\\nok" in text and text.replace("\n", "").isprintable() and "\nbackend tensorrt" not in text


@pytest.mark.parametrize(
    ("unrolled", "told"),
    [(None, "as a loop"), ("the driver\x07 is old", r"iteration by iteration: the driver\x07 is old")],
)
def test_the_report_tells_how_the_search_is_in_its_graph(unrolled: str | None, told: str) -> None:
    """As a loop, or one iteration after the other and why; in the JSON, too."""
    once = Timing.of([1.0])
    report = examination.DoctorReport(10, "fp32")
    report.backends.append(examination.BackendReport("tensorrt", frame_ms=once, search_ms=once, unrolled=unrolled))
    assert f"the search is in the graph {told}" in to_text(report)
    assert report.to_json()["backends"][0]["unrolled"] == unrolled


def test_timing_repeats() -> None:
    """At least `least` runs count, and the first one does not."""
    runs: list[None] = []
    timing = timed(lambda: runs.append(None), seconds=0, least=7)
    assert timing.repeats == 7 and len(runs) == 8 and timing.p10 <= timing.median <= timing.p90


def test_a_model_without_a_search_is_examined(tmp_path: Path) -> None:
    """The CPU runs the forward self-test; the report says why no GPU can run it, and passes."""
    package = write_random_package(tmp_path / "package", exported("autoencoder")[1], "ssim")
    report = examination.examine(package, "auto", GpuSettings(cache=tmp_path / "cache"), 0.01, lambda line: None)
    cpu, gpu = report.backends
    assert report.passed and cpu.passed and cpu.comparisons[0].what == "self-test against the float64 oracle"
    assert gpu.problem is not None and "has no search for the GPU to run" in gpu.problem
    assert "has no search for the GPU to run" in to_text(report)

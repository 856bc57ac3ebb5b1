"""One thread for numerical libraries, Hypothesis without deadlines, and a real broker for the tests that need one."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, settings

from tests.mosquitto import Mosquitto
from tests.sharing import FOLDER

# Set before anything imports NumPy, PyTorch or OpenCV (nothing above does). Processes that a test starts inherit it.
# More threads would spin while they wait for those of other test processes, and their number changes the order of sums.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

# Half a million objects of libraries and of the tests themselves stay until the end. Python's usual collections, which
# walk them again and again, took a third of the time until the first test and an eighth of the rest.
gc.set_threshold(20_000, 10, 10)

# Deadlines and limits on how long examples take to make fail on a busy machine, and say nothing about the code.
settings.register_profile("latentline", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("latentline")


def pytest_collection_finish() -> None:
    """From now on collections look at what tests make, not at what was there before them."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where `made_once` keeps what it makes: xdist gives each of its workers a folder in that of the run."""
    own = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_trace_of_pytorch() -> None:
    """PyTorch writes down every step of an export for this logger as soon as it has a handler, and pytest gives one to
    each logger that does not propagate. That lengthens exports, and fills the logs of failed tests."""
    trace = logging.getLogger("torch.__trace")
    trace.handlers.clear()
    trace.propagate = True


@pytest.fixture(scope="session", autouse=True)
def _one_table_of_operators() -> Iterator[None]:
    """PyTorch makes its table of ONNX operators anew for each graph, which takes as long as a small graph, and looks
    for all operators fifty times a graph. Here it does so once, where its exporter still has these places for it."""
    with pytest.MonkeyPatch.context() as patch:
        if "export.graphs" in sys.modules:
            try:
                from torch._export import utils
                from torch.onnx._internal.exporter._registration import ONNXRegistry

                patch.setattr(utils, "_materialize_cpp_cia_ops", cache(utils._materialize_cpp_cia_ops))
            except (ImportError, AttributeError):
                pass
            else:
                patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """OpenVINO keeps what it has compiled, by its own hash of graph and settings: the same graph takes half as long the
    second time, and tests open the same models again and again. Each process has a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if (openvino := sys.modules.get("openvino")) is not None:
            folder, compile_model = tmp_path_factory.mktemp("compiled"), openvino.Core.compile_model

            def compiled(core: Any, graph: Any, device: str, config: dict[str, Any]) -> Any:
                return compile_model(core, graph, device, {**config, "CACHE_DIR": str(folder)})

            patch.setattr(openvino.Core, "compile_model", compiled)
            yield
            shutil.rmtree(folder)  # a hundred megabytes, and pytest keeps the folders of three runs
        else:
            yield


@pytest.fixture(autouse=True)
def _log_of_no_other_test() -> None:
    """Commands that a test or a shared fixture runs in this process set what is logged, and where: no other test
    depends on it, and none writes to the standard error that an earlier one had captured."""
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    logging.getLogger("trainer").setLevel(logging.NOTSET)
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:  # pytest's own are of subclasses
            root.removeHandler(handler)


@contextmanager
def _blank_figures() -> Iterator[None]:
    import cv2
    import numpy as np
    from matplotlib.figure import Figure

    def save_blank(figure: Figure, file: BinaryIO, *, format: str, dpi: float, **_: Any) -> None:
        width, height = (round(inches * dpi) for inches in figure.get_size_inches())
        blank = np.full((height, width, 4), 255, np.uint8)
        file.write(blank.tobytes() if format == "rgba" else cv2.imencode(f".{format}", blank)[1].tobytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_blank)
        yield


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Figures are made and saved as white pictures: drawing them takes a third of a tiny training. For modules that
    train and evaluate often and look at no figure; other tests draw those of `fit`, `evaluate` and `compare`."""
    with _blank_figures():
        yield


@pytest.fixture
def undrawn_here() -> Iterator[None]:
    """As `undrawn`, for one test of a module of which others look at figures."""
    with _blank_figures():
        yield


@pytest.fixture(scope="module")
def exported_once() -> Iterator[None]:
    """The command exports networks with the same weights once in a test run; other tests export them anew."""
    from export import from_checkpoint
    from tests.exports import export_once

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(from_checkpoint, "export_model", export_once)
        yield


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto broker for this test alone, not started yet."""
    if shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("MOSQUITTO IS MISSING: the MQTT tests did not run; install the package `mosquitto`")
    broker = Mosquitto(tmp_path / "broker")
    yield broker
    broker.stop()

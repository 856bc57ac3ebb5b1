"""The backend is chosen by what the machine has, and the reason is given."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latentline.backends import select
from latentline.backends.select import open_reconstructor
from latentline.errors import BackendError
from latentline.package.model_package import ModelPackage, load_package
from tests.checkpoints import exported
from tests.packages import write_random_package, write_tiny_package


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return load_package(write_tiny_package(tmp_path / "package"))


@pytest.fixture
def no_pycuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without pycuda, whatever this one has."""
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)


@pytest.mark.usefixtures("no_pycuda")
def test_auto_falls_back_to_the_cpu_and_says_why(package: ModelPackage, caplog: pytest.LogCaptureFixture) -> None:
    """Without pycuda, "auto" searches on the CPU, and both reason and log name what is missing."""
    with caplog.at_level("INFO"):
        choice = open_reconstructor(package, "auto", threads=1)
    choice.reconstructor.close()
    assert choice.reconstructor.name == "openvino" and "pycuda is not installed" in choice.reason
    assert "backend openvino, because TensorRT cannot be used: pycuda is not installed" in caplog.text


@pytest.mark.usefixtures("no_pycuda")
def test_tensorrt_by_name_is_refused_where_it_cannot_run(package: ModelPackage) -> None:
    """A backend chosen by name is never replaced by another."""
    with pytest.raises(BackendError, match="pycuda is not installed"):
        open_reconstructor(package, "tensorrt")


def test_a_missing_tensorrt_module_is_named(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU without TensorRT's module, the sentence names the module and says how to get it."""
    monkeypatch.setattr(select, "import_pycuda", lambda: None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"TensorRT's Python module tensorrt is not installed.*JetPack"):
        open_reconstructor(package, "tensorrt")


@pytest.fixture(scope="module", params=["autoencoder", "pca"])
def without_search(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A package of a method without a search."""
    return write_random_package(tmp_path_factory.mktemp("package") / "model", exported(request.param)[1], "ssim")


def test_what_the_gpu_backend_does_not_run_goes_to_the_cpu(without_search: ModelPackage) -> None:
    """ "auto" inspects a model without a search on the CPU, whatever GPU there is, and says why."""
    choice = open_reconstructor(without_search, "auto", threads=1)
    seen = choice.reconstructor.begin(np.zeros((40, 50), np.uint8))()
    choice.reconstructor.close()
    assert choice.reconstructor.name == "openvino" and "has no search for the GPU to run" in choice.reason
    assert set(seen.values) == {"ssim_1px", "ssim_2px"} and np.isfinite(seen.anomaly_map).all()


def test_what_the_gpu_backend_does_not_run_is_refused_by_name(
    without_search: ModelPackage, package: ModelPackage
) -> None:
    """The GPU backend chosen by name refuses a model without a search, and a map that it cannot compute."""
    with pytest.raises(BackendError, match=r"method \w+, which has no search.*use backend openvino"):
        open_reconstructor(without_search, "tensorrt")
    other = replace(package, statistics=replace(package.statistics, kind="probability"))
    with pytest.raises(
        BackendError, match=r"by map probability, .* only maps residual, l1, l2, ssim; use backend openv"
    ):
        open_reconstructor(other, "tensorrt")

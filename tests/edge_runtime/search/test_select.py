"""The backend is chosen by what the machine has, and the choice is explained."""

import sys
from pathlib import Path

import pytest

from edge_runtime.model_package import ModelPackage, load_package
from edge_runtime.search import select
from edge_runtime.search.select import open_explainer
from latentline.errors import BackendError
from tests.packages import write_tiny_package


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
    """Without pycuda "auto" searches on the CPU; reason and log name what is missing."""
    with caplog.at_level("INFO"):
        choice = open_explainer(package, "auto", threads=1)
    choice.explainer.close()
    assert choice.explainer.name == "cpu" and "pycuda is not installed" in choice.reason
    assert "backend cpu, because TensorRT cannot be used: pycuda is not installed" in caplog.text


@pytest.mark.usefixtures("no_pycuda")
def test_tensorrt_by_name_is_refused_where_it_cannot_be_had(package: ModelPackage) -> None:
    """Asked for by name, the backend is not replaced silently."""
    with pytest.raises(BackendError, match="pycuda is not installed"):
        open_explainer(package, "tensorrt")


def test_a_missing_tensorrt_module_is_named(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a GPU but without TensorRT's module, the sentence names TensorRT and what to do."""
    monkeypatch.setattr(select, "import_pycuda", lambda: None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"TensorRT's Python module tensorrt is not installed.*JetPack"):
        open_explainer(package, "tensorrt")

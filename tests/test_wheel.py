"""The wheel that `make wheel` builds and a station installs."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.paths import ROOT

_PACKAGES = ("latentline", "trainer", "export", "edge_runtime")
_BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of the sources so that the repository gets no build folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in (*_PACKAGES, "tests"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", _BUILD, str(folder)], cwd=source, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("latentline-*.whl")))


def _sources(package: str) -> list[str]:
    files = (path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [path.relative_to(ROOT).as_posix() for path in files]


@pytest.mark.parametrize("package", _PACKAGES)
def test_every_file_of_a_package_is_in_the_wheel(wheel: zipfile.ZipFile, package: str) -> None:
    """The wheel has every module and data file, so what works in a clone also works when installed."""
    sources = _sources(package)
    assert f"{package}/__init__.py" in sources and f"{package}/py.typed" in sources
    assert not set(sources) - set(wheel.namelist())


def test_the_wheel_has_kernels_and_the_model_of_the_demo(wheel: zipfile.ZipFile) -> None:
    """The wheel has the kernels that the GPU backend compiles and the model that the demo loads."""
    names = wheel.namelist()
    assert any(name.endswith(".cu") for name in names)
    assert any(name.endswith("/model/manifest.json") for name in names)
    assert any(name.endswith("/model/search_step.onnx") for name in names)


def test_the_wheel_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    """The wheel has no tests, no benches and no documentation."""
    folders = {name.split("/")[0] for name in wheel.namelist()}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == set(_PACKAGES)


def test_every_command_of_the_wheel_has_its_module(wheel: zipfile.ZipFile) -> None:
    """Trainer, export and station each have a script, and the wheel has the module that it calls."""
    points = configparser.ConfigParser()
    points.read_string(wheel.read(next(n for n in wheel.namelist() if n.endswith("entry_points.txt"))).decode())
    scripts = dict(points["console_scripts"])
    assert set(scripts) == {"latentline-train", "latentline-export", "latentline-edge"}
    modules = {target.split(":")[0].replace(".", "/") + ".py" for target in scripts.values()}
    assert modules <= set(wheel.namelist())

"""A package replaces a package, and nothing else that is there."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from export.cli import main
from latentline.errors import PackageError
from latentline.package.destination import check_destination
from latentline.package.model_package import MANIFEST, load_package
from latentline.package.write import write_package
from tests.packages import write_tiny_package


@pytest.fixture
def tiny_package(tmp_path: Path) -> Path:
    """A package in a folder."""
    return write_tiny_package(tmp_path / "package")


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")


def _notes(path: Path) -> None:
    _file(path / MANIFEST)
    _file(path / "notes.txt")


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train/good/a.png", b"")


THERE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a data set": (
        "data",
        lambda p: _file(p / "train" / "good" / "a.png"),
        r"no model package and not empty \(train\)",
    ),
    "a run": ("run", lambda p: _file(p / "checkpoint" / "config.yaml"), r"not empty \(checkpoint\)"),
    "a package with notes": ("model", _notes, r"more than a model package \(notes\.txt\)"),
    "a file": ("model", _file, "already a file; add .zip"),
    "another zip": ("data.zip", _zip, "no model package"),
    "a file called zip": ("data.zip", _file, "no model package"),
    "a folder called zip": ("data.zip", lambda p: p.mkdir(), "already a folder"),
    "a file above": ("file/model.zip", lambda p: _file(p.parent), "cannot be written there: this is a file"),
    "this folder": (".", lambda p: None, "name a folder in it"),
}


@pytest.mark.parametrize("there", THERE)
def test_what_is_no_package_stays(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exporter names what is in the way before it reads the checkpoint, and leaves it as it was."""
    monkeypatch.chdir(tmp_path)
    name, make, sentence = THERE[there]
    make(Path(name))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PackageError, match=sentence):
        check_destination(Path(name))
    assert main(["package", "no-such-run", name]) == 2
    assert f"error: {name}: " in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_package_is_replaced(tmp_path: Path, tiny_package: Path) -> None:
    """A package, signed or not, an empty folder and a new name in a new folder are all fine."""
    (tiny_package / "signature.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for out in (tiny_package, tmp_path / "empty", tmp_path / "new" / "deep" / "model.ZIP"):
        check_destination(out)


def test_a_full_disk_keeps_the_package(tiny_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that cannot be written is one sentence, and the one before is whole."""
    loaded = load_package(tiny_package)
    files = {name: (tiny_package / name).read_bytes() for name in loaded.manifest.files}

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PackageError, match=r"cannot be written \(No space left on device\); what was there is still"):
        write_package(tiny_package, loaded.manifest, files)
    assert load_package(tiny_package).model_hash == loaded.model_hash

"""What is packed for an air-gapped machine is what is unpacked there, and never more than can be carried."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from bench.gpu.pack import Unpackable, checked_size, compress, environment, extract, main, remove, split
from bench.gpu.unpack import unpack


def test_a_folder_survives_packing_in_pieces(tmp_path: Path) -> None:
    """Pieces of any size, in the order of their names, give the files back."""
    site = tmp_path / "site"
    (site / "package").mkdir(parents=True)
    content = bytes(range(256)) * 40
    (site / "package" / "__init__.py").write_bytes(content)
    (site / "module.py").write_text("x = 1\n")
    archive = tmp_path / "rtx.tar.xz"
    compress(site, archive)
    pieces = split(archive, tmp_path / "carry", size=archive.stat().st_size // 3 + 1)
    assert [str(piece.relative_to(tmp_path)) for piece in pieces] == [
        f"carry/rtx-{number}/rtx.tar.xz.{number}" for number in (1, 2, 3)
    ]
    unpack(tmp_path / "there", list(reversed(pieces)))
    assert (tmp_path / "there" / "package" / "__init__.py").read_bytes() == content
    assert (tmp_path / "there" / "module.py").read_text() == "x = 1\n"


def test_an_archive_is_readable_by_tar(tmp_path: Path) -> None:
    """Its members lie at the top, as PYTHONPATH needs them."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "module.py").touch()
    compress(tmp_path / "site", tmp_path / "carry" / "site.tar.xz")
    with tarfile.open(tmp_path / "carry" / "site.tar.xz") as archive:
        assert archive.getnames() == ["module.py"]


def test_wheels_become_one_folder_without_what_is_not_needed(tmp_path: Path) -> None:
    """A folder of an earlier packing is emptied; patterns remove files and whole folders."""
    for name in ("a", "b"):
        with zipfile.ZipFile(tmp_path / f"{name}.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{name}/__init__.pyi", "")
            wheel.writestr(f"{name}/include/header.h", "")
    site = tmp_path / "site"
    site.mkdir()
    (site / "old.py").touch()
    extract(tmp_path.glob("*.whl"), site)
    remove(site, ("**/*.pyi", "a/include"))
    files = sorted(str(path.relative_to(site)) for path in site.rglob("*") if path.is_file())
    assert files == ["a/__init__.py", "b/__init__.py", "b/include/header.h"]


def test_more_than_can_be_carried_is_refused(tmp_path: Path) -> None:
    """The sentence has the size and the limit."""
    (tmp_path / "some").write_bytes(bytes(3 << 20))
    assert checked_size(tmp_path) == 3 << 20
    with pytest.raises(Unpackable, match=r"has 3 MiB, and at most 2 can be carried"):
        checked_size(tmp_path, limit=2 << 20)


def test_a_python_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and a sentence that says what to give."""
    with pytest.raises(Unpackable, match="cannot be run"):
        environment("/no/such/python")
    assert main(["--python", "/no/such/python"]) == 2
    assert "give the Python of the version over there with --python" in capsys.readouterr().err

"""Files and folders are written whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from latentline.base.atomic import new_folder, remove_leftovers, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full, the old file stays, and no other file is left beside it."""
    path = tmp_path / "file"
    write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    """An exception inside the block leaves the old folder, and no other beside it."""
    path = tmp_path / "folder"
    with new_folder(path) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(RuntimeError), new_folder(path) as folder:
        (folder / "a").write_text("2")
        raise RuntimeError
    assert (path / "a").read_text() == "1" and list(tmp_path.iterdir()) == [path]
    with new_folder(path) as folder:
        (folder / "b").write_text("3")
    assert [p.name for p in path.iterdir()] == ["b"] and list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_a_whole_folder(tmp_path: Path) -> None:
    """After kill -9 of a process that rewrites a folder, one of its versions is there, complete."""
    script = (
        "import sys; from pathlib import Path; from latentline.base.atomic import new_folder\n"
        "for n in range(100000):\n"
        "    with new_folder(Path(sys.argv[1])) as f:\n"
        "        [(f / str(i)).write_text(str(n)) for i in range(20)]\n"
        "    print(n, flush=True)\n"
    )
    path = tmp_path / "folder"
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(30):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = path if path.exists() else next(tmp_path.glob(".folder.*.old"))
    contents = {p.read_text() for p in left.iterdir()}
    assert len(list(left.iterdir())) == 20 and len(contents) == 1
    with new_folder(path) as folder:
        (folder / "after").write_text("")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    """What nobody will finish goes, also what has the number of this process, as containers restart with it."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path, living = tmp_path / "a[1].zip", f".a[1].zip.{os.getppid()}.tmp"
    for name in (
        f".a[1].zip.{dead.pid}.tmp",
        f".a[1].zip.{os.getpid()}.tmp",
        living,
        ".a1.zip.99.tmp",
        ".a[1].zip.x.tmp",
    ):
        (tmp_path / name).write_text("half")
    remove_leftovers(path)
    assert {p.name for p in tmp_path.iterdir()} == {living, ".a1.zip.99.tmp", ".a[1].zip.x.tmp"}


def test_a_folder_that_a_killed_writer_set_aside_comes_back(tmp_path: Path) -> None:
    """A writer killed between its two renames has left the old folder under another name; the next one finds it."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path = tmp_path / "folder"
    old = tmp_path / f".folder.{dead.pid}.old"
    old.mkdir()
    (old / "a").write_text("1")
    with pytest.raises(RuntimeError), new_folder(path):
        raise RuntimeError
    assert (path / "a").read_text() == "1" and list(tmp_path.iterdir()) == [path]

"""A folder that vanishes for a while, or whose files are told apart only by content, repeats and loses no picture."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cameras.base import IDLE, Frame
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.folder import FolderCamera
from edge_runtime.cameras.folder_memory import FolderMemory
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.work_journal import WorkJournal
from latentline.errors import CameraError
from tests.edge_runtime.cameras.folder_reading import all_given
from tests.edge_runtime.fakes import write_picture
from tests.waiting import wait_until


def _settings(folder: Path, after: str = "mark") -> FolderSettings:
    options = {"settle_seconds": 0.0, "reopen_seconds": 0.01, "reopen_max_seconds": 0.02}
    return FolderSettings(kind="folder", id="top", source=folder, watch=True, after=after, **options)  # type: ignore[arg-type]


def _memory(folder: Path, after: str = "mark") -> FolderMemory:
    return FolderMemory(_settings(folder, after), folder.with_name("spool.top.journal"))


def _camera(folder: Path, memory: FolderMemory | None = None) -> FolderCamera:
    """An open camera; without `memory` as after a restart of the station."""
    camera = FolderCamera(_settings(folder), memory or _memory(folder), WorkJournal())
    camera.open()
    return camera


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two pictures."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_picture(folder / "a.png", 60)
    write_picture(folder / "b.png", 70)
    return folder


@contextmanager
def _away(folder: Path, *, empty: bool = False) -> Iterator[None]:
    """The folder is elsewhere within the block; `empty`: another one in its place is, like a mount point."""
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    if empty:
        folder.mkdir()
    yield
    if empty:
        folder.rmdir()
    elsewhere.rename(folder)


@pytest.mark.parametrize(
    ("after", "empty"), [("mark", False), ("mark", True), ("keep", True), ("move", False), ("delete", True)]
)
def test_folder_that_vanishes_and_comes_back_repeats_nothing(folder: Path, after: str, empty: bool) -> None:
    """While the folder is away the camera is failing, with a sentence; then new pictures arrive, and no old one,
    inspected or still in work."""
    faults: list[str | None] = []
    feeds = Feeds([_settings(folder, after)], lambda _code, sentence: faults.append(sentence))
    feeds.start()
    frames: list[Frame] = []

    def came(count: int) -> bool:
        if (frame := feeds.get(0.02)) is not None:
            frames.append(frame)
        return len(frames) >= count

    wait_until(lambda: came(2), "both pictures")
    if after in ("mark", "keep"):
        feeds.done(frames[0])
    with _away(folder, empty=empty):
        sentence = "is empty, and not the folder that it was" if empty else "is not a folder"
        wait_until(lambda: sentence in str(faults), "the fault")
        assert feeds.states()["top"].state == "failing"
    wait_until(lambda: feeds.states()["top"].state == "ok", "the end of the fault")
    write_picture(folder / "c.png", 80)
    wait_until(lambda: came(3), "the new picture")
    feeds.close()
    assert [frame.source for frame in frames] == ["a.png", "b.png", "c.png"] and faults[-1] is None


def test_pictures_that_waited_in_a_folder_that_vanished_are_not_lost(folder: Path) -> None:
    """A picture that was found and not read before the folder vanished is given when it is back."""
    memory = _memory(folder)
    camera = _camera(folder, memory)
    assert isinstance(camera.read(), Frame)  # a.png; b.png waits
    with _away(folder):
        assert camera.read() is IDLE  # b.png is not there
        with pytest.raises(CameraError, match="is gone"):
            camera.read()
    assert all_given(_camera(folder, memory), finish=True) == ["b.png"]


def test_station_that_starts_before_the_mount_repeats_nothing(folder: Path) -> None:
    """After a restart an empty folder in the place of the one whose pictures were marked is a fault, not an empty
    folder; when the right one is back, nothing is given again."""
    assert all_given(_camera(folder), finish=True) == ["a.png", "b.png"]
    _camera(folder).read()  # notes which folder it is
    memory = _memory(folder)
    with _away(folder, empty=True), pytest.raises(CameraError, match="is its file system mounted"):
        _camera(folder, memory)
    assert all_given(_camera(folder, memory), finish=True) == []


def test_another_folder_with_a_picture_is_taken(folder: Path) -> None:
    """A new folder in the place of the old one counts as soon as it holds a picture."""
    camera = _camera(folder)
    assert all_given(camera, finish=True) == ["a.png", "b.png"]
    folder.rename(folder.with_name("yesterday"))
    folder.mkdir()
    with pytest.raises(CameraError, match="first picture in it ends this fault"):
        camera.read()
    write_picture(folder / "z.png", 90)
    assert all_given(_camera(folder), finish=True) == ["z.png"]


def test_folder_that_others_empty_is_no_fault(folder: Path) -> None:
    """Where another program removes inspected pictures, the empty folder is silent."""
    camera = _camera(folder)
    assert all_given(camera, finish=True) == ["a.png", "b.png"]
    for path in folder.iterdir():
        path.unlink()
    assert camera.read() is IDLE and _camera(folder).read() is IDLE


def test_other_inodes_with_the_same_content_are_no_new_pictures(folder: Path) -> None:
    """A share that was mounted again may number its files anew: the content says that they are known. One whose
    content differs, under the same name, size and time, is new."""
    write_picture(folder / "c.png", 90, (64, 48))
    memory = _memory(folder)
    assert all_given(_camera(folder, memory), finish=True) == ["a.png", "b.png", "c.png"]
    shutil.copytree(folder, folder.with_name("copy"))  # with the times
    shutil.rmtree(folder)
    _change_content(folder.with_name("copy") / "c.png")
    folder.with_name("copy").rename(folder)
    assert all_given(_camera(folder, memory), finish=True) == ["c.png"]  # in one run
    assert all_given(_camera(folder), finish=True) == []  # and after a restart


def _change_content(path: Path) -> None:
    """Another picture of the same size in bytes and with the same time of change."""
    before = path.stat()
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    content = cv2.imencode(".png", picture + np.uint8(1))[1].tobytes()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("restart", [False, True])
def test_same_name_size_and_second_with_other_content_is_a_new_picture(folder: Path, restart: bool) -> None:
    """Where the time has whole seconds only, as on many shares, a picture that was written over is inspected."""
    os.utime(folder / "a.png", (1e9, 1e9))
    memory = _memory(folder)
    camera = _camera(folder, memory)
    assert all_given(camera, finish=True) == ["a.png", "b.png"]
    _change_content(folder / "a.png")
    assert all_given(_camera(folder) if restart else camera, finish=True) == ["a.png"]


def test_change_of_rights_is_no_new_picture(folder: Path) -> None:
    """A file whose rights change is not given again, and is still deleted when it was inspected."""
    camera = _camera(folder)
    assert all_given(camera, finish=True) == ["a.png", "b.png"]
    (folder / "a.png").chmod(0o600)
    assert camera.read() is IDLE and all_given(_camera(folder), finish=True) == []
    deleting = FolderCamera(_settings(folder, "delete"), _memory(folder, "delete"), WorkJournal())
    deleting.open()
    frame = deleting.read()
    assert isinstance(frame, Frame)
    (folder / "a.png").chmod(0o644)
    deleting.done(frame)
    assert not (folder / "a.png").exists()


@pytest.mark.parametrize("late", [False, True])
def test_old_journal_in_the_folder_is_taken_over(folder: Path, late: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The journal of an earlier release is taken over with a sentence, also when the folder shows it only later; its
    pictures are not repeated, and it is deleted."""
    old = folder / ".latentline-top.journal"
    status = (folder / "a.png").stat()
    old.write_text(json.dumps(["a.png", status.st_size, status.st_mtime_ns]) + "\n")
    memory = _memory(folder)
    if late:
        with _away(folder, empty=True):
            assert _camera(folder, memory).read() is IDLE  # nothing tells yet that this is not the folder
    assert all_given(_camera(folder, memory), finish=True) == ["b.png"]
    assert not old.exists() and "was taken over into" in caplog.text
    assert all_given(_camera(folder), finish=True) == []


def test_old_journal_that_cannot_be_deleted_is_taken_over_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only share the old journal stays, and does no harm: what was inspected later counts."""
    (folder / ".latentline-top.journal").write_text(json.dumps(["a.png", 1, 1]) + "\n")
    real = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".journal":
            raise PermissionError(30, "Read-only file system")
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert all_given(_camera(folder), finish=True) == ["a.png", "b.png"]
    assert all_given(_camera(folder), finish=True) == []

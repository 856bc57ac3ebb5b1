from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cameras.base import IDLE, Frame
from edge_runtime.cameras.folder import FolderCamera
from edge_runtime.cameras.folder_memory import FolderMemory
from edge_runtime.cameras.folder_picture import FolderPicture, may_lack_its_pixels
from edge_runtime.cameras.folder_settling import FolderSettling
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.work_journal import WorkJournal
from tests.edge_runtime.fakes import write_picture
from tests.waiting import wait_until

SETTLE = 0.5


class _Folder:
    """A folder whose settling runs by a clock that the test moves."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = path, 100.0
        self.settling = FolderSettling("top", path, SETTLE, lambda: self.now)

    def ready(self, seconds: float = 0.1) -> list[str]:
        """The names that may be read `seconds` later."""
        self.now += seconds
        found = [picture for path in sorted(self.path.iterdir()) if (picture := FolderPicture.of(path))]
        return [picture.name for picture in self.settling.ready(found)]


@pytest.fixture
def folder(tmp_path: Path) -> _Folder:
    return _Folder(tmp_path)


def _content(suffix: str) -> bytes:
    noise = np.random.default_rng(0).integers(1, 256, (48, 64, 3), np.uint8)
    return cv2.imencode(suffix, noise)[1].tobytes()


def test_picture_is_ready_when_it_was_left_alone(folder: _Folder) -> None:
    """A picture is ready `settle_seconds` after its last change, and not before."""
    path = folder.path / "a.png"
    path.write_bytes(b"1")
    assert [folder.ready(), folder.ready(0.3)] == [[], []]
    path.write_bytes(b"12")
    assert [folder.ready(), folder.ready(0.4)] == [[], []]
    assert folder.ready(0.2) == ["a.png"]


def test_change_that_keeps_size_and_time_is_a_change(folder: _Folder) -> None:
    """A writer that sets the time of change back at each write, as some shares do, is not finished."""
    path = folder.path / "a.png"
    for _ in range(3):
        path.write_bytes(b"1")
        os.utime(path, ns=(1, 1))
        assert folder.ready(0.4) == []


@pytest.mark.parametrize("suffix", [".bmp", ".tif"])
def test_file_that_got_its_size_first_waits_for_its_content(folder: _Folder, suffix: str) -> None:
    """A BMP or TIFF that grows within its full size, with pauses longer than `settle_seconds` and without any trace in
    its times, is not ready before its last byte is there."""
    content = _content(suffix)
    path = folder.path / f"a{suffix}"
    path.write_bytes(content[:100] + bytes(len(content) - 100))
    stat = path.stat()
    frozen = FolderPicture(path.name, stat.st_size, 1, 1, 1)

    def ready() -> bool:
        folder.now += 0.1
        return bool(folder.settling.ready([frozen]))

    for part in range(1, 10):
        for _ in range(12):
            assert not ready()
        path.write_bytes(content[: len(content) * part // 10].ljust(len(content), b"\0"))
    path.write_bytes(content)
    assert any(ready() for _ in range(8))


def test_picture_with_a_black_edge_is_only_late(folder: _Folder) -> None:
    """A whole BMP with zeros is ready after four times as long, a PNG is not late; `settle_seconds: 0` never waits."""
    black = np.zeros((64, 64), np.uint8)
    (folder.path / "a.bmp").write_bytes(cv2.imencode(".bmp", black)[1].tobytes())
    (folder.path / "b.png").write_bytes(cv2.imencode(".png", black)[1].tobytes())
    assert folder.ready() == []
    assert folder.ready(0.6) == ["b.png"]
    assert [folder.ready(0.6), folder.ready(0.6)] == [["b.png"], ["b.png"]]
    assert folder.ready(0.6) == ["a.bmp", "b.png"]
    hurried = FolderSettling("top", folder.path, 0.0)
    assert len(hurried.ready([picture for p in folder.path.iterdir() if (picture := FolderPicture.of(p))])) == 2


def test_files_without_zeros_do_not_wait(tmp_path: Path) -> None:
    """Only zeros where pixels belong make a file suspicious."""
    for suffix, suspicious in ((".bmp", False), (".tif", False), (".png", False)):
        (tmp_path / f"a{suffix}").write_bytes(_content(suffix))
        assert may_lack_its_pixels(tmp_path / f"a{suffix}") is suspicious
    (tmp_path / "a.bmp").write_bytes(_content(".bmp")[:200] + bytes(9000))
    (tmp_path / "a.png").write_bytes(bytes(9000))
    assert may_lack_its_pixels(tmp_path / "a.bmp") and not may_lack_its_pixels(tmp_path / "a.png")


def test_file_that_is_replaced_too_often_is_tried(folder: _Folder, caplog: pytest.LogCaptureFixture) -> None:
    """A file that changes before it settles is tried after four times as long, again and again; the log says why only
    some versions are inspected, once."""
    tried = []
    for step in range(60):
        (folder.path / "a.png").write_bytes(b"%d" % step)
        if folder.ready(0.2):
            tried.append(step)
            picture = FolderPicture.of(folder.path / "a.png")
            assert picture is not None and folder.settling.restless(picture)
            folder.settling.given(picture)
    assert len(tried) == 5 and folder.settling.warning is None
    assert caplog.text.count("changes more often than every 0.5 s") == 1


def test_a_picture_that_waits_for_its_turn_is_no_warning(folder: _Folder) -> None:
    """A batch that takes minutes to inspect is settled all the while: nobody keeps writing to it."""
    (folder.path / "a.png").write_bytes(b"whole")
    for _ in range(110):
        folder.ready(0.3)
    assert folder.settling.warning is None


def test_file_that_never_comes_to_rest_is_a_warning(folder: _Folder) -> None:
    """A file that can never be read as a whole is named after half a minute, until it is gone."""
    for step in range(110):
        (folder.path / "a.png").write_bytes(b"%d" % step)
        for name in folder.ready(0.3):
            picture = FolderPicture.of(folder.path / name)
            assert picture is not None
            folder.settling.put_off(picture)
    assert "a.png in" in str(folder.settling.warning) and "30 s" in str(folder.settling.warning)
    (folder.path / "a.png").unlink()
    folder.ready()
    assert folder.settling.warning is None


def test_picture_that_is_replaced_again_and_again_is_inspected(tmp_path: Path) -> None:
    """A camera over a file that is replaced at every look gives whole versions of it, and counts none as unusable; a
    version in the middle of its writing is never given."""
    settings = FolderSettings(kind="folder", id="top", source=tmp_path, watch=True, settle_seconds=0.05, after="keep")
    camera = FolderCamera(settings, FolderMemory(settings), WorkJournal())
    camera.open()
    got: list[int] = []
    level = 0

    def step() -> bool:
        nonlocal level
        level = (level + 1) % 200
        write_picture(tmp_path / "latest.png", level)
        if level % 3 == 0:
            whole = (tmp_path / "latest.png").read_bytes()
            (tmp_path / "latest.png").write_bytes(whole[: len(whole) // 2])
        frame = camera.read()
        assert frame is IDLE or isinstance(frame, Frame)
        if isinstance(frame, Frame):
            got.append(int(frame.image[0, 0, 0]))
        return len(got) >= 3

    wait_until(step, "three versions")
    assert all(level % 3 for level in got)

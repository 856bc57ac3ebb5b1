from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.folder import FolderCamera
from latentline.errors import CameraError, ImageError
from tests.edge_runtime.fakes import write_picture


def test_pictures_come_by_name_in_any_size(tmp_path: Path) -> None:
    """All pictures come once, sorted by name, each as [H, W, C] in its own size, and then the input ends."""
    write_picture(tmp_path / "b.png", 50, (10, 4), channels=3)
    write_picture(tmp_path / "a.png", 60, (5, 7))
    (tmp_path / "notes.txt").write_text("not a picture")
    camera = FolderCamera("top", tmp_path)
    camera.open()
    frames = [camera.read(), camera.read()]
    assert [(f.source, f.image.shape, f.number) for f in frames if f] == [
        ("a.png", (7, 5, 1), 0),
        ("b.png", (4, 10, 3), 1),
    ]
    assert camera.read() is None


def test_corrupt_picture_is_named_and_passed(tmp_path: Path) -> None:
    """A broken picture raises an error with its name, and the next read gives the next picture."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG and then nothing")
    write_picture(tmp_path / "b.png", 60)
    camera = FolderCamera("top", tmp_path)
    camera.open()
    with pytest.raises(ImageError, match=r"a\.png"):
        camera.read()
    frame = camera.read()
    assert frame is not None and frame.source == "b.png"


def test_folder_that_is_not_there_or_empty(tmp_path: Path) -> None:
    """A missing folder, and an empty one that nobody will fill, do not open."""
    with pytest.raises(CameraError, match="not a folder"):
        FolderCamera("top", tmp_path / "nowhere").open()
    with pytest.raises(CameraError, match="holds no picture"):
        FolderCamera("top", tmp_path).open()


def test_watched_folder_waits_for_a_slow_writer(tmp_path: Path) -> None:
    """A picture that is written bit by bit is read once it is whole, never as a broken one."""
    write_picture(tmp_path / "whole.png", 60, (64, 64))
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "whole.png").unlink()
    camera = FolderCamera("top", tmp_path, watch=True, settle_seconds=0.3)
    camera.open()
    got: list[Frame | None] = []
    reader = threading.Thread(target=lambda: got.append(camera.read()))
    reader.start()
    pause = threading.Event()
    with (tmp_path / "slow.png").open("wb") as file:
        for start in range(0, len(content), 1 + len(content) // 8):
            file.write(content[start : start + 1 + len(content) // 8])
            file.flush()
            pause.wait(0.05)  # this is the slow writer itself
    reader.join(20)
    assert got and got[0] is not None and got[0].source == "slow.png"


def test_close_ends_a_wait(tmp_path: Path) -> None:
    """A reader that waits for a new picture comes back with None when the camera is closed."""
    camera = FolderCamera("top", tmp_path, watch=True)
    camera.open()
    got: list[Frame | None] = []
    reader = threading.Thread(target=lambda: got.append(camera.read()))
    reader.start()
    camera.close()
    reader.join(20)
    assert got == [None]


def test_watched_folder_that_vanishes(tmp_path: Path) -> None:
    """A watched folder that is taken away is a camera fault, not an empty folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    camera = FolderCamera("top", folder, watch=True)
    camera.open()
    folder.rmdir()
    with pytest.raises(CameraError, match="is gone"):
        camera.read()

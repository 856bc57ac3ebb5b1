from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.cameras.base import IDLE, Frame
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.folder import FolderCamera
from edge_runtime.cameras.folder_memory import FolderMemory
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.work_journal import WorkJournal
from latentline.errors import CameraError, ImageError
from tests.edge_runtime.cameras.folder_reading import all_given
from tests.edge_runtime.cameras.scripted import drain
from tests.edge_runtime.fakes import write_picture
from tests.paths import ROOT
from tests.waiting import wait_until


def _settings(folder: Path, **options: Any) -> FolderSettings:
    return FolderSettings(kind="folder", id="top", source=folder, **{"settle_seconds": 0.0, **options})


def _camera(folder: Path, **options: Any) -> FolderCamera:
    """An open camera with a new memory, as after a start of the station."""
    one = _settings(folder, **options)
    camera = FolderCamera(one, FolderMemory(one, one.journal or journal_of(folder)), WorkJournal())
    camera.open()
    return camera


def journal_of(folder: Path) -> Path:
    """The journal of the camera over `folder`, outside of it."""
    return folder.with_name(f"{folder.name}.top.journal")


def _next(camera: FolderCamera) -> Frame:
    got: list[Frame] = []

    def came() -> bool:
        if isinstance(frame := camera.read(), Frame):
            got.append(frame)
        return bool(got)

    wait_until(came, "a picture")
    return got[0]


def test_pictures_come_by_name_in_any_size(tmp_path: Path) -> None:
    """Each picture is given once, sorted by name, as [H, W, C] in its own size; then the input ends."""
    write_picture(tmp_path / "b.png", 50, (10, 4), channels=3)
    write_picture(tmp_path / "a.png", 60, (5, 7))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "c.png").mkdir()
    camera = _camera(tmp_path)
    frames = [camera.read(), camera.read()]
    assert [(f.source, f.image.shape, f.number) for f in frames if isinstance(f, Frame)] == [
        ("a.png", (7, 5, 1), 0),
        ("b.png", (4, 10, 3), 1),
    ]
    assert camera.read() is None
    assert not list(tmp_path.glob(".latentline*"))  # a folder that is not watched has no journal by default


def test_corrupt_picture_is_named_and_skipped(tmp_path: Path) -> None:
    """A corrupt picture raises an error with its name and uses up a number; the next read gives the next picture."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG and then nothing")
    write_picture(tmp_path / "b.png", 60)
    camera = _camera(tmp_path)
    with pytest.raises(ImageError, match=r"a\.png"):
        camera.read()
    frame = camera.read()
    assert isinstance(frame, Frame) and (frame.source, frame.number) == ("b.png", 1)


def test_folder_that_is_not_there_or_empty(tmp_path: Path) -> None:
    """A missing folder, and an empty one that is not watched, do not open."""
    with pytest.raises(CameraError, match="not a folder"):
        _camera(tmp_path / "nowhere")
    with pytest.raises(CameraError, match="holds no picture"):
        _camera(tmp_path)


def test_close_ends_a_wait_and_silence_is_idle(tmp_path: Path) -> None:
    """An empty watched folder returns IDLE; when it is closed, the input ends."""
    camera = _camera(tmp_path, watch=True)
    assert camera.read() is IDLE
    camera.close()
    assert camera.read() is None


def test_watched_folder_that_vanishes(tmp_path: Path) -> None:
    """A watched folder that is removed raises CameraError; it does not count as empty."""
    folder = tmp_path / "in"
    folder.mkdir()
    camera = _camera(folder, watch=True, after="keep")
    folder.rmdir()
    with pytest.raises(CameraError, match="is gone"):
        camera.read()


def test_concurrent_writers(tmp_path: Path) -> None:
    """Several programs write pictures at once, by rename or bit by bit: each is given once, and complete."""
    program = [sys.executable, str(Path(__file__).with_name("picture_writer.py")), str(tmp_path)]
    ways = {"a": "rename", "b": "copy", "c": "copy"}
    one = _settings(tmp_path, watch=True, settle_seconds=0.3)
    feeds = Feeds([one], lambda _code, _sentence: None)
    feeds.start()
    writers = [
        subprocess.Popen([*program, prefix, "12", way], env={**os.environ, "PYTHONPATH": str(ROOT)})
        for prefix, way in ways.items()
    ]
    levels: dict[str, int] = {}

    def step() -> bool:
        frame = feeds.get(0.05)
        if frame is not None:
            assert frame.source not in levels
            levels[frame.source] = int(frame.image.min())
            assert frame.image.min() == frame.image.max()
            feeds.done(frame)
        return len(levels) == 36

    wait_until(step, "all pictures", 60)
    assert [writer.wait(20) for writer in writers] == [0, 0, 0]
    feeds.close()
    report = feeds.states()["top"]
    assert (report.frames, report.bad, report.dropped) == (36, 0, {})
    assert all(level == 10 + int(name[2:5]) for name, level in levels.items())


def test_incomplete_picture_is_given_again_when_it_is_complete(tmp_path: Path) -> None:
    """If a writer pauses for long, its picture raises an error, and is given when it is complete."""
    write_picture(tmp_path / "whole.png", 60, (64, 64))
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "whole.png").unlink()
    camera = _camera(tmp_path, watch=True)
    (tmp_path / "slow.png").write_bytes(content[:50])
    with pytest.raises(ImageError, match="cut short"):
        _next(camera)
    assert camera.read() is IDLE  # it is not read again until it changes
    (tmp_path / "slow.png").write_bytes(content)
    assert _next(camera).source == "slow.png"


@pytest.mark.parametrize("after", ["mark", "move", "delete"])
def test_restart_does_not_repeat(tmp_path: Path, after: str) -> None:
    """After a restart, inspected pictures are not given again; those not finished, and new ones, are."""
    for name in ("a", "b", "c", "d"):
        write_picture(tmp_path / f"{name}.png", 60)
    camera = _camera(tmp_path, watch=True, after=after)
    frames = [_next(camera) for _ in range(3)]
    for frame in frames[:2]:
        camera.done(frame)
    again = _camera(tmp_path, watch=True, after=after)
    write_picture(tmp_path / "e.png", 70)
    assert [_next(again).source for _ in range(3)] == ["c.png", "d.png", "e.png"]
    left = {"mark": ["a.png", "b.png"], "move": ["processed/a.png", "processed/b.png"], "delete": []}[after]
    here = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")}
    assert here == {*left, "c.png", "d.png", "e.png"}


def test_restart_of_a_folder_with_an_end_continues(tmp_path: Path) -> None:
    """With `after: move`, a folder that is not watched continues where it stopped, and ends without an error."""
    for name in ("a", "b"):
        write_picture(tmp_path / f"{name}.png", 60)
    camera = _camera(tmp_path, after="move")
    camera.done(_next(camera))
    assert all_given(_camera(tmp_path, after="move"), finish=True) == ["b.png"]
    assert all_given(_camera(tmp_path, after="move")) == []


def test_journal_elsewhere(tmp_path: Path) -> None:
    """The journal may be outside a folder that is read-only."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_picture(folder / "a.png", 60)
    options = {"watch": True, "journal": tmp_path / "journal"}
    assert all_given(_camera(folder, **options), finish=True) == ["a.png"]
    assert all_given(_camera(folder, **options)) == []
    assert [path.name for path in folder.iterdir()] == ["a.png"]
    with pytest.raises(CameraError, match=r"cannot be written .*; make it writable, or set `journal`"):
        _camera(folder, watch=True, journal=tmp_path / "nowhere" / "journal")


@pytest.mark.parametrize("content", [b"PK\x03\x04 a model package", b"station: {id: line-1}\n"])
def test_a_file_of_something_else_is_no_journal(tmp_path: Path, content: bytes) -> None:
    """A setting `journal` that names another file is an error, and the file stays as it is."""
    (tmp_path / "in").mkdir()
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    with pytest.raises(CameraError, match=r"model\.zip is no journal; set `journal` to another path"):
        _camera(tmp_path / "in", watch=True, journal=path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("after", ["mark", "move", "delete", "keep"])
def test_name_that_comes_again_is_a_new_picture(tmp_path: Path, after: str) -> None:
    """A file that is replaced, or removed and written again, is inspected again; a waiting one is not lost."""
    write_picture(tmp_path / "a.png", 60)
    camera = _camera(tmp_path, watch=True, after=after)
    first = _next(camera)
    write_picture(tmp_path / "a.png", 90, (9, 9))  # before the first was done
    camera.done(first)
    second = _next(camera)
    assert int(second.image[0, 0, 0]) == 90
    camera.done(second)
    assert camera.read() is IDLE
    (tmp_path / "a.png").unlink(missing_ok=True)
    assert camera.read() is IDLE
    write_picture(tmp_path / "a.png", 120)
    third = _next(camera)
    assert int(third.image[0, 0, 0]) == 120
    camera.done(third)
    if after == "move":
        names = sorted(path.name for path in (tmp_path / "processed").iterdir())
        assert names == ["a.png", "a~1.png"]


def test_journal_stays_small(tmp_path: Path) -> None:
    """Lines of removed pictures are deleted from the journal."""
    one = _settings(tmp_path, watch=True)
    journal = journal_of(tmp_path)
    camera = FolderCamera(one, FolderMemory(one, journal), WorkJournal())
    camera.open()
    write_picture(tmp_path / "stays.png", 60)
    camera.done(_next(camera))
    write_picture(tmp_path / "goes.png", 60)
    gone = _next(camera)
    (tmp_path / "goes.png").unlink()
    for _ in range(1100):
        camera.done(gone)
    assert len(journal.read_text().splitlines()) < 200
    assert all_given(_camera(tmp_path, watch=True)) == []


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_any_journal_opens(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever the journal contains, the folder opens, and pictures marked from then on stay marked."""
    folder = tmp_path_factory.mktemp("in")
    write_picture(folder / "a.png", 60)
    journal_of(folder).write_bytes(content)
    (folder / ".latentline-top.journal").write_bytes(content[::-1])
    assert all_given(_camera(folder, after="mark"), finish=True) == ["a.png"]
    assert all_given(_camera(folder, after="mark")) == []


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_picture_or_one_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A file of any bytes gives a frame or an ImageError, and the picture after it is given."""
    folder = tmp_path_factory.mktemp("in")
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    (folder / "b.bmp").write_bytes(b"BM" + content)
    write_picture(folder / "c.png", 60)
    feeds = Feeds([_settings(folder)], lambda _code, sentence: pytest.fail(str(sentence)))
    feeds.start()
    assert drain(feeds)[-1] == 2
    feeds.close()


def test_name_of_any_bytes(tmp_path: Path) -> None:
    """A name that is not UTF-8 can be sent in an event, and is recognised after a restart."""
    write_picture(tmp_path / "a.png", 60)
    (tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"\xff.png"))
    names = all_given(_camera(tmp_path, watch=True), finish=True)
    assert names == ["\ufffd.png"] and names[0].encode()
    assert all_given(_camera(tmp_path, watch=True)) == []


def test_done_that_fails_is_one_sentence(tmp_path: Path) -> None:
    """A picture that cannot be moved after its inspection raises an error; one that was removed does not."""
    write_picture(tmp_path / "a.png", 60)
    camera = _camera(tmp_path, watch=True, after="move")
    frame = _next(camera)
    (tmp_path / "processed").rmdir()
    (tmp_path / "processed").write_text("in the way")
    with pytest.raises(CameraError, match=r"a\.png was inspected but cannot be moved"):
        camera.done(frame)
    (tmp_path / "a.png").unlink()
    camera.done(frame)


def test_station_killed_at_any_moment_repeats_little_and_loses_nothing(tmp_path: Path) -> None:
    """Feeds closed between a frame and its `done` give that frame again; every picture is given at least once."""
    for number in range(30):
        write_picture(tmp_path / f"{number:02d}.png", 60)
    names: list[str] = []
    while len(set(names)) < 30:
        feeds = Feeds([_settings(tmp_path, watch=True, after="move")], lambda _code, _sentence: None)
        feeds.start()
        for _ in range(7):
            if (frame := feeds.get(1.0)) is not None:
                names.append(frame.source)
                if len(names) % 7:
                    feeds.done(frame)
        feeds.close()
    assert sorted(set(names)) == [f"{number:02d}.png" for number in range(30)]
    assert len(names) - 30 <= len(names) // 7 + 1
    assert threading.active_count() < 20

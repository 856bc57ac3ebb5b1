from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.cameras.device import DeviceCamera
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.opencv import load_cv2
from edge_runtime.cameras.settings.opencv import DeviceSettings, StreamSettings
from edge_runtime.cameras.stream import StreamCamera
from latentline.errors import CameraError
from tests.edge_runtime.cameras.scripted import drain


def _film(path: Path, levels: list[int]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in levels:
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return path


def _stream(source: object, **options: Any) -> StreamSettings:
    return StreamSettings(kind="stream", id="top", source=str(source), **options)


def test_video_file_gives_every_frame_and_ends(tmp_path: Path) -> None:
    """A video file gives all its frames in order as uint8 BGR; then the input ends."""
    camera = StreamCamera(_stream(_film(tmp_path / "film.avi", [40, 80, 120])))
    camera.open()
    levels = []
    while (frame := camera.read()) is not None:
        assert frame.image.shape == (48, 64, 3) and frame.captured_at.tzinfo is not None
        levels.append(round(float(frame.image.mean()), -1))
    camera.close()
    assert levels == [40, 80, 120]


def test_video_file_under_supervision(tmp_path: Path) -> None:
    """Feeds give every frame of a video file, without a fault."""
    film = _film(tmp_path / "film.avi", [100] * 60)
    feeds = Feeds([_stream(film)], lambda _code, sentence: pytest.fail(str(sentence)))
    feeds.start()
    assert drain(feeds) == list(range(60))
    feeds.close()
    assert feeds.error is None and feeds.states()["top"].state == "ended"


def test_film_that_is_cut_short_ends(tmp_path: Path) -> None:
    """A video file that was cut off gives its complete frames and ends; it neither hangs nor fails."""
    film = _film(tmp_path / "film.avi", list(range(0, 250, 5)))
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    feeds = Feeds([_stream(film)], lambda _code, _sentence: None)
    feeds.start()
    assert 0 < len(drain(feeds)) < 50
    feeds.close()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("/nowhere/film.avi", "there is no video file"),
        ("rtsp://me:secret@127.0.0.1:9/1", r"rtsp://\*\*\*@127.0.0.1:9/1 does not open"),
        ("http://me:secret@127.0.0.1:9/1.mjpg", r"http://\*\*\*@127.0.0.1:9/1.mjpg does not open"),
    ],
)
def test_stream_that_does_not_open(source: str, sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    """An absent source gives one sentence; credentials are neither in it nor in what OpenCV prints."""
    with pytest.raises(CameraError, match=sentence) as caught:
        StreamCamera(_stream(source, open_seconds=1.0)).open()
    assert "secret" not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.parametrize(("source", "shown"), [(97, "device 97"), ("/dev/nothing", "/dev/nothing")])
def test_device_that_is_not_there(source: int | str, shown: str) -> None:
    """A device that is not plugged in gives one sentence."""
    settings = DeviceSettings(kind="device", source=source, width=640, height=480, fps=5, fourcc="MJPG")
    with pytest.raises(CameraError, match=f"{shown} does not open; is it plugged in"):
        DeviceCamera(settings).open()


def test_file_that_is_no_video(tmp_path: Path) -> None:
    """A file that OpenCV cannot decode does not open."""
    (tmp_path / "film.mp4").write_text("text")
    with pytest.raises(CameraError, match="does not open"):
        StreamCamera(_stream(tmp_path / "film.mp4")).open()


def test_missing_opencv_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenCV the error says where to get it."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CameraError, match="install the extra `opencv`"):
        load_cv2()

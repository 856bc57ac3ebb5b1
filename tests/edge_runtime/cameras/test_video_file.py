from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.container import cut_short
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.settings.opencv import StreamSettings
from edge_runtime.cameras.video_file import VideoFileCamera
from edge_runtime.cameras.work_journal import WorkJournal
from edge_runtime.config import StationConfig
from latentline.base.strict_yaml import parse
from latentline.errors import CameraError, ConfigError
from tests.edge_runtime.cameras.films import cut, film, film_settings, frames_of, spoil
from tests.edge_runtime.cameras.scripted import drain
from tests.edge_runtime.fakes import station_data


@dataclass
class _Outcome:
    numbers: list[int]
    bad: int
    error: str | None
    faults: list[str | None]


def _read(path: object) -> _Outcome:
    """Read a film to its end under supervision."""
    faults: list[str | None] = []
    feeds = Feeds([film_settings(path)], lambda _code, sentence: faults.append(sentence))
    feeds.start()
    numbers = drain(feeds)
    report = feeds.states()["top"]
    feeds.close()
    assert report.state == "ended"
    return _Outcome(numbers, report.bad, str(feeds.error) if feeds.error else None, faults)


@pytest.mark.parametrize(("name", "codec"), [("film.avi", "MJPG"), ("film.mp4", "mp4v"), ("film.mkv", "MJPG")])
def test_film_gives_every_frame_and_ends(tmp_path: Path, name: str, codec: str) -> None:
    """A whole film gives all its frames in order as uint8 BGR; then the input ends, without a word."""
    camera = VideoFileCamera(film_settings(film(tmp_path / name, codec=codec)), WorkJournal())
    camera.open()
    levels = []
    while isinstance(frame := camera.read(), Frame):
        assert frame.image.shape == (48, 64, 3) and frame.captured_at.tzinfo is not None
        levels.append(float(frame.image.mean()))
    camera.close()
    assert len(levels) == 30 and levels == sorted(levels) and levels[-1] - levels[0] > 100
    assert _read(tmp_path / name) == _Outcome(list(range(30)), 0, None, [])


@pytest.mark.parametrize(
    ("broken", "part", "named"),
    [
        ([10], 0.0, "10"),
        ([10], 0.5, "10"),
        ([0, 1], 0.0, "0-1"),
        (range(10, 20), 0.0, "10-19"),
        ([3, 7, 28, 29], 0.3, "3, 7, 28-29"),
    ],
)
def test_frames_that_cannot_be_decoded_are_skipped_counted_and_named(
    tmp_path: Path, broken: list[int], part: float, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    """All frames but the broken ones arrive under their own numbers; the broken ones are counted and named."""
    spoil(film(tmp_path / "film.avi"), broken, part)
    with caplog.at_level(logging.WARNING):
        outcome = _read(tmp_path / "film.avi")
    assert outcome == _Outcome([n for n in range(30) if n not in broken], len(broken), None, [])
    assert f"{len(broken)} of the frames of {tmp_path / 'film.avi'} cannot be decoded: {named}" in caplog.text


def test_frames_that_the_container_lost_are_counted(tmp_path: Path) -> None:
    """Where garbage hides frames from the demuxer, those that are missing at the end count as unusable."""
    content = bytearray(film(tmp_path / "film.avi").read_bytes())
    start, size = frames_of(tmp_path / "film.avi")[10]
    content[start - 8 : start + size] = b"\xa5" * (size + 8)
    (tmp_path / "film.avi").write_bytes(content)
    outcome = _read(tmp_path / "film.avi")
    assert len(outcome.numbers) + outcome.bad == 30 and outcome.bad >= 1 and outcome.error is None


@pytest.mark.parametrize("name", ["film.avi", "film.mkv"])
def test_film_that_is_cut_short_is_said(tmp_path: Path, name: str) -> None:
    """The frames before the cut arrive; then a fault says how many they were, and the input ends with that error."""
    cut(film(tmp_path / name))
    outcome = _read(tmp_path / name)
    assert 10 < len(outcome.numbers) < 20
    sentence = f"is cut short; what it still holds was read: {len(outcome.numbers)} frames"
    assert sentence in str(outcome.error) and sentence in str(outcome.faults)


def test_film_that_its_recorder_never_closed_is_cut_short(tmp_path: Path) -> None:
    """An AVI whose size was never written gives its frames, and is called cut short."""
    content = bytearray(film(tmp_path / "film.avi").read_bytes())
    struct.pack_into("<I", content, 4, 0)
    (tmp_path / "film.avi").write_bytes(content[: content.index(b"idx1")])
    outcome = _read(tmp_path / "film.avi")
    assert outcome.numbers == list(range(30)) and "cut short" in str(outcome.error)


def test_film_without_its_index_does_not_open(tmp_path: Path) -> None:
    """An MP4 whose recorder lost power does not open, and the sentence says why."""
    cut(film(tmp_path / "film.mp4", codec="mp4v"))
    with pytest.raises(CameraError, match="does not open; it is cut short"):
        VideoFileCamera(film_settings(tmp_path / "film.mp4"), WorkJournal()).open()


@pytest.mark.parametrize(
    "content", [b"", b"text", b"RIFF", b"RIFF\0\0\0\0AVI ", b"\x1a\x45\xdf\xa3", b"\0\0\0\x14ftypisom"]
)
def test_file_that_is_no_video(tmp_path: Path, content: bytes) -> None:
    """A file that OpenCV cannot decode does not open."""
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(CameraError, match="does not open"):
        VideoFileCamera(film_settings(tmp_path / "film.mp4"), WorkJournal()).open()
    with pytest.raises(CameraError, match="there is no video file"):
        VideoFileCamera(film_settings(tmp_path / "nowhere.mp4"), WorkJournal()).open()


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(("name", "codec"), [("film.avi", "MJPG"), ("film.mp4", "mp4v"), ("film.mkv", "MJPG")])
def test_containers_know_their_end(tmp_path: Path, name: str, codec: str, part: float) -> None:
    """A whole AVI, MP4 or Matroska file is whole, also with bytes behind its end; one without its end is cut short."""
    path = film(tmp_path / name, codec=codec)
    assert not cut_short(path)
    path.write_bytes(path.read_bytes() + bytes(5))
    assert not cut_short(path)
    cut(path, part)
    assert cut_short(path)


def test_file_url_is_a_file(tmp_path: Path) -> None:
    """A `file://` URL is read to its end like the path; the percent code of its characters is that of URLs."""
    (tmp_path / "a b").mkdir()
    film(tmp_path / "a b" / "film.avi")
    for url in (f"file://{tmp_path}/a%20b/film.avi", f"FILE://localhost{tmp_path}/a b/film.avi"):
        settings = StreamSettings(kind="stream", id="top", source=url).resolve_paths(tmp_path / "elsewhere")
        assert not settings.live and settings.shown == str(tmp_path / "a b" / "film.avi")
        assert len(_read(url).numbers) == 30


def test_file_url_without_a_whole_path_is_a_mistake(tmp_path: Path) -> None:
    """`file://film.avi` names a host; the sentence says how to write it."""
    data: dict[str, Any] = station_data(tmp_path, 1)
    data["cameras"] = [{"id": "top", "kind": "stream", "source": "file://film.avi"}]
    with pytest.raises(ConfigError, match=r"file:///path/of/the/video\.avi"):
        parse(data, StationConfig, "-")

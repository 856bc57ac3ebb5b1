from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from edge_runtime.cameras.factory import camera_maker
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.settings.kinds import CameraSettings
from edge_runtime.cameras.settings.opencv import StreamSettings
from latentline.base.strict_yaml import StrictModel, parse
from latentline.errors import CameraError, ConfigError


class _Cameras(StrictModel):
    cameras: tuple[CameraSettings, ...] = Field(min_length=1)


def _one(**values: Any) -> Any:
    return parse({"cameras": [values]}, _Cameras, "station.yaml").cameras[0]


@pytest.mark.parametrize(
    ("values", "blamed"),
    [
        ({"kind": "device", "source": -1}, "source"),
        ({"kind": "device", "source": "video0"}, "source"),
        ({"kind": "device", "source": True}, "source"),
        ({"kind": "device", "source": 0, "watch": True}, "watch"),
        ({"kind": "device", "source": 0, "fourcc": "MJPEG"}, "fourcc"),
        ({"kind": "stream", "source": 3}, "source"),
        ({"kind": "stream", "source": "a.mp4", "width": 640}, "width"),
        ({"kind": "pipeline", "source": "videotestsrc ! fakesink"}, "source"),
        ({"kind": "folder", "source": "http://host/pictures"}, "source"),
        ({"kind": "folder", "source": "in", "after": "keep", "journal": "j"}, "journal"),
        ({"kind": "aravis", "trigger": "command", "hardware_trigger": "Line1"}, "hardware_trigger"),
        ({"kind": "simulator", "defect_rate": 2}, "defect_rate"),
        ({"kind": "simulator", "reopen_seconds": 5.0, "reopen_max_seconds": 1.0}, "reopen_max_seconds"),
        ({"kind": "simulator", "id": "line/1"}, "id"),
        ({"kind": "webcam"}, "cameras.0"),
        ({"source": 0}, "cameras.0"),
    ],
)
def test_wrong_value_blames_its_option(values: dict[str, Any], blamed: str) -> None:
    """A value that cannot be, alone, beside another or for this kind, is refused under its own name."""
    with pytest.raises(ConfigError, match=rf"'[\w.]*\b{blamed}'"):
        _one(**values)


@pytest.mark.parametrize(
    ("values", "lossless", "live", "keeps"),
    [
        ({"kind": "device", "source": 0}, False, True, False),
        ({"kind": "device", "source": "/dev/video0", "every_frame": True}, True, True, False),
        ({"kind": "device", "source": 0, "trigger": "command"}, True, True, False),
        ({"kind": "stream", "source": "film.mp4"}, True, False, True),
        ({"kind": "stream", "source": "film.mp4", "every_frame": False}, False, False, True),
        ({"kind": "stream", "source": "rtsp://host/1"}, False, True, False),
        ({"kind": "pipeline", "source": "videotestsrc ! appsink"}, False, True, False),
        ({"kind": "aravis"}, False, True, False),
        ({"kind": "aravis", "hardware_trigger": "Line1"}, True, True, False),
        ({"kind": "folder", "source": "in"}, True, False, True),
        ({"kind": "folder", "source": "in", "watch": True}, True, True, True),
        ({"kind": "simulator"}, False, True, False),
        ({"kind": "simulator", "frames": 3}, False, False, False),
    ],
)
def test_what_follows_from_the_kind(values: dict[str, Any], lossless: bool, live: bool, keeps: bool) -> None:
    """Files keep every frame, live sources give their newest, triggers lose nothing, unless the file says otherwise."""
    one = _one(**values)
    assert (one.lossless, one.live, one.keeps) == (lossless, live, keeps)


def test_relative_paths_start_at_the_base(tmp_path: Path) -> None:
    """Paths mean the same wherever the command is started; an address stays."""
    folder = FolderSettings(kind="folder", source=Path("in"), watch=True, journal=Path("j")).resolve_paths(tmp_path)
    assert (folder.source, folder.journal) == (tmp_path / "in", tmp_path / "j")
    assert StreamSettings(kind="stream", source="film.mp4").resolve_paths(tmp_path).source == str(tmp_path / "film.mp4")
    assert StreamSettings(kind="stream", source="rtsp://host/1").resolve_paths(tmp_path).source == "rtsp://host/1"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"kind": "stream", "source": "rtsp://me:se@cret@host/1"}, "rtsp://***@host/1"),
        (
            {"kind": "stream", "source": "http://host/cgi?user=me&pwd=secret&fps=5"},
            "http://host/cgi?user=***&pwd=***&fps=***",
        ),
        ({"kind": "stream", "source": "rtsp://h:554/user=me&password=secret&channel=1"}, "rtsp://h:554/user=***"),
        ({"kind": "stream", "source": "rtsp:/me:secret@host/1"}, "***@host/1"),
        ({"kind": "stream", "source": "films/a b@2.mp4"}, "films/a b@2.mp4"),
        (
            {"kind": "pipeline", "source": 'rtspsrc location=rtsp://h/1 user-id=me user-pw="a secret" ! appsink'},
            "rtspsrc location=rtsp://h/1 user-id=me user-pw=*** ! appsink",
        ),
        (
            {"kind": "pipeline", "source": "v4l2src auth=secret ! video/x-raw(memory:NVMM),width=9 ! appsink drop=1"},
            "v4l2src auth=*** ! video/x-raw(memory:NVMM),width=9 ! appsink drop=1",
        ),
    ],
)
def test_credentials_are_masked(values: dict[str, Any], shown: str) -> None:
    """Neither what is shown of a source nor the repr of its settings holds a password."""
    one = _one(**values)
    assert one.shown == shown
    assert "secret" not in repr(one) and "cret@" not in repr(one)


_KEYS = st.sampled_from(["id", "kind", "source", "watch", "after", "trigger", "fps", "journal"])
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))
_KINDS = st.sampled_from(["device", "stream", "pipeline", "aravis", "folder", "simulator"])


@given(st.dictionaries(_KEYS, _VALUES), _KINDS)
def test_any_section_is_settings_or_one_sentence(section: dict[str, Any], kind: str) -> None:
    """Whatever stands in a camera's section, the answer is settings or a ConfigError."""
    try:
        assert _one(**({"kind": kind} | section)).id
    except ConfigError as error:
        assert "station.yaml" in str(error)


def test_pipeline_without_gstreamer_is_one_sentence() -> None:
    """Where OpenCV has no GStreamer, the error says so, and which OpenCV has."""
    import cv2

    if "GStreamer:                   YES" in cv2.getBuildInformation():
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(CameraError, match="built without GStreamer; use the system's"):
        camera_maker(_one(kind="pipeline", source="videotestsrc ! appsink"))()


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("p@ss", True),
        ("p/w", True),
        ("a b", True),
        ("100%", True),
        ("grün", True),
        ("p%40ss", False),
        ("plain:1!", False),
    ],
)
def test_a_password_that_is_not_in_percent_code_is_suspected(password: str, said: bool) -> None:
    """When a stream does not open, the sentence says how special characters are written, and quotes none of them."""
    settings = StreamSettings(kind="stream", id="north", source=f"rtsp://me:{password}@192.0.2.1/line")
    assert ("percent code" in settings.hint) == said and password not in settings.hint + settings.shown


def test_an_address_without_a_password_is_not_suspected() -> None:
    """Its question mark is the usual one."""
    assert "percent" not in StreamSettings(kind="stream", id="north", source="rtsp://192.0.2.1/line?a=1").hint

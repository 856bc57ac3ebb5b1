"""A station scales frames of more than eight bits by its camera's or its model's depth, and says what it cannot."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.device import DeviceCamera
from edge_runtime.cameras.settings.opencv import DeviceSettings
from edge_runtime.config import StationConfig
from edge_runtime.station.station import Station
from edge_runtime.tools.check import check_connections
from latentline.base.strict_yaml import parse
from latentline.errors import CameraError
from latentline.vision.bit_depth import BitDepth
from tests.deep_pictures import deepened, pgm, png, significant, write
from tests.edge_runtime.fakes import BRIGHT, DARK, FakeInspector, station_data
from tests.mosquitto import Mosquitto, Subscriber

BRIGHT_12 = deepened(np.full((6, 8), BRIGHT, np.uint8), 12)
DARK_12 = deepened(np.full((6, 8), DARK, np.uint8), 12)
BRIGHT_10, DARK_10 = (deepened(np.full((6, 8), level, np.uint8), 10) for level in (BRIGHT, DARK))


class _Trained(FakeInspector):
    """A model that was trained on pictures of so many bits."""

    def __init__(self, depth: BitDepth) -> None:
        self.identity = replace(FakeInspector.identity, bit_depth=depth)


def _config(folder: Path, port: int, depth: int | None = None, after: str = "keep") -> StationConfig:
    data = station_data(folder, port, results=True)
    data["cameras"][0] |= {"bit_depth": depth, "after": after}
    return parse(data, StationConfig, "-")


def _scores(mosquitto: Mosquitto, config: StationConfig, depth: BitDepth) -> list[float]:
    """The scores of the frames that the station inspects."""
    with Subscriber(mosquitto.port) as subscriber:
        summary = Station(config, _Trained(depth)).run()
        results = subscriber.wait("result", lambda all_: len(all_) == summary.inspected)
    return [result.body["score"] for result in results]


def test_frames_of_any_depth_have_the_scores_of_their_twins(
    tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """8 bits, 12 in 16, a PGM whose white is 1023: the same scores; the log says it once."""
    mosquitto.start()
    for number, content in enumerate((png(np.full((6, 8), BRIGHT, np.uint8)), png(BRIGHT_12), png(DARK_12))):
        write(tmp_path / "pictures" / f"{number}.png", content)
    write(tmp_path / "pictures" / "3.pgm", pgm(BRIGHT_10, 1023))
    with caplog.at_level(logging.INFO):
        assert _scores(mosquitto, _config(tmp_path, mosquitto.port), 12) == [BRIGHT, BRIGHT, DARK, BRIGHT]
    said = [record.message for record in caplog.records if "16 bits" in record.message]
    assert said == ["camera top gives frames of 16 bits, of which 12 count, as the model package says"]


def test_a_camera_that_says_its_depth_is_believed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A model of 8 bits inspects the frames of a camera of 12, whose setting says so, whatever its files claim."""
    mosquitto.start()
    write(tmp_path / "pictures" / "0.png", png(BRIGHT_12))
    write(tmp_path / "pictures" / "1.png", significant(png(DARK_12), 14))
    assert _scores(mosquitto, _config(tmp_path, mosquitto.port, 12), 8) == [BRIGHT, DARK]


def test_an_older_package_knows_16_bits(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A package without a bit depth takes the upper eight bits, as it always did."""
    mosquitto.start()
    write(tmp_path / "pictures" / "0.png", png(deepened(np.full((6, 8), BRIGHT, np.uint8), 16)))
    assert _scores(mosquitto, _config(tmp_path, mosquitto.port), "auto") == [BRIGHT]


def test_frames_of_another_depth_degrade_the_station(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A frame with more bits than the model's, or that claims another depth, is a fault until one fits, and stays."""
    mosquitto.start()
    bright_16 = deepened(np.full((6, 8), BRIGHT, np.uint8), 16)
    write(tmp_path / "pictures" / "0.png", png(bright_16))
    write(tmp_path / "pictures" / "1.png", significant(png(DARK_10), 10))
    write(tmp_path / "pictures" / "2.png", png(DARK_12))
    faults: list[tuple[str, str | None]] = []
    with Subscriber(mosquitto.port) as subscriber:
        station = Station(_config(tmp_path, mosquitto.port, after="delete"), _Trained(12))
        report = station.health.fault

        def watched(code: str, sentence: str | None) -> None:
            faults.append((code, sentence))
            report(code, sentence)

        station.health.fault = watched  # type: ignore[method-assign]
        summary = station.run()
        assert len(subscriber.wait("result", bool)) == 1
    assert (summary.inspected, summary.bad_frames) == (1, 2)
    own = [sentence for code, sentence in faults if code == "camera.top.bit_depth"]
    assert own[-1] is None and len(set(own)) == 2
    assert own[0] is not None and own[0].startswith("camera top: 0.png: grey level")
    assert "needs 16 bits, and bit_depth is 12" in own[0]
    left = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert left == ["0.png", "1.png"], "with the right setting they can still be inspected"


def test_check_says_how_a_deep_frame_is_understood(tmp_path: Path) -> None:
    """`check` says how many bits of a frame count and who says so; a frame of another depth does not pass."""
    write(tmp_path / "pictures" / "0.png", png(BRIGHT_12))
    for camera, model, sentence in [
        (None, 12, "1 channel of 16 bits, of which 12 count, as the model package says; 1 tile"),
        (12, 8, "1 channel of 16 bits, of which 12 count, as its bit_depth says; 1 tile"),
        (None, "auto", "of which the upper eight count, because the model package does not say"),
    ]:
        depth: Any = model
        (found, _) = check_connections(_config(tmp_path, 1, camera), _Trained(depth))
        assert found.ok and sentence in found.message
    (found, _) = check_connections(_config(tmp_path, 1), _Trained(10))
    assert not found.ok and found.message.startswith("camera top: grey level ")
    assert "needs 12 bits, and bit_depth is 10" in found.message


class _Capture:
    """A V4L2 device as OpenCV shows it: it converts its frames to eight bits unless it is told not to."""

    def __init__(self, fourcc: int, obeys: bool) -> None:
        self._fourcc, self._obeys, self._converts = fourcc, obeys, True

    def isOpened(self) -> bool:  # OpenCV's name
        return True

    def set(self, option: int, value: float) -> bool:
        if option == cv2.CAP_PROP_CONVERT_RGB and self._obeys:
            self._converts = bool(value)
        return self._obeys

    def get(self, option: int) -> float:
        return float(self._fourcc) if option == cv2.CAP_PROP_FOURCC else 0.0

    def grab(self) -> bool:
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, (DARK_12 >> 8).astype(np.uint8) if self._converts else DARK_12

    def release(self) -> None:
        """Nothing to release."""


def _device(monkeypatch: pytest.MonkeyPatch, fourcc: int, obeys: bool = True) -> DeviceCamera:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: _Capture(fourcc, obeys))
    camera = DeviceCamera(DeviceSettings(kind="device", id="top", source=0))
    camera.open()
    return camera


def test_a_device_of_16_bits_gives_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """V4L2's Y16 is not cut to its upper eight bits by OpenCV; other formats are converted as before."""
    y16 = cv2.VideoWriter.fourcc(*"Y16 ")
    frame = _device(monkeypatch, y16).read()
    assert isinstance(frame, Frame) and frame.image.dtype == np.uint16
    np.testing.assert_array_equal(frame.image[:, :, 0], DARK_12)
    eight = _device(monkeypatch, cv2.VideoWriter.fourcc(*"YUYV")).read()
    assert isinstance(eight, Frame) and eight.image.dtype == np.uint8
    for fourcc, obeys in ((y16, False), (y16 | 1 << 31, True)):
        with pytest.raises(CameraError, match="gives 16 bits in a form that OpenCV cannot hand on"):
            _device(monkeypatch, fourcc, obeys)

"""A station whose package has a region of interest: what it says is in pixels of the camera's whole frame."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.cameras.base import Frame
from edge_runtime.config import StationConfig
from edge_runtime.frames.drift_watch import DriftWatch
from edge_runtime.frames.settings import DriftSection
from edge_runtime.page.latest import LatestFrames
from edge_runtime.page.live import LiveFeed
from edge_runtime.station.station import Station
from edge_runtime.tools.check import check_station
from latentline.base.strict_yaml import parse
from latentline.model import open_model
from tests.edge_runtime.fakes import station_data, validate
from tests.mosquitto import Mosquitto, Subscriber
from tests.packages import SIZE, edit_manifest, write_tiny_package
from tests.waiting import wait_until

REGION = {"left": 0.5, "top": 0.25, "width": 0.5, "height": 0.5}
BOX = (40, 16, 40, 32)  # of frames of 80 x 64 px


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny package, told of a region."""
    made = write_tiny_package(tmp_path_factory.mktemp("package") / "model.zip.d")
    edit_manifest(made, lambda manifest: manifest["preprocessing"].update(region=REGION))
    return made


@pytest.fixture(scope="module")
def frame() -> Frame:
    """Noise with dark rims."""
    image = np.random.default_rng(0).integers(100, 200, (64, 80, 1), np.uint8)
    image[:, :40] = 5
    return Frame(image, datetime.now(timezone.utc), "top", "0", 0)


def test_events_and_archive_are_in_pixels_of_the_frame(
    package: Path, frame: Frame, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """Defects lie within the region, the archived picture is whole, and its map is black outside of the region."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port) | {"model": str(package), "threshold": -1e6}
    data["archive"] = {"path": str(tmp_path / "archive"), "min_free_mib": 0}
    assert cv2.imwrite(str(tmp_path / "pictures" / "0.png"), frame.image)
    with Subscriber(mosquitto.port) as subscriber:
        Station(parse(data, StationConfig, "-"), open_model(package, "openvino", threads=1)).run()
        (event,) = subscriber.wait("defect", lambda all_: len(all_) == 1)
    validate(event.topic, event.body)
    assert (event.body["frame"]["width"], event.body["frame"]["height"]) == (80, 64) and event.body["defects"]
    for defect in event.body["defects"]:
        x, y, width, height = defect["bbox"]
        assert BOX[0] <= x and x + width <= 80 and BOX[1] <= y and y + height <= 48
    reader = ArchiveReader(tmp_path / "archive")
    (kept,) = reader.frames(FrameQuery()).frames
    assert (kept.verdict.width, kept.verdict.height) == (80, 64)
    files = {path.name: path for path in (tmp_path / "archive").rglob(f"{kept.verdict.id}*.png")}
    heat, shown = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for _, path in sorted(files.items()))
    assert shown is not None and heat is not None and (shown == frame.image[..., 0]).all()
    assert heat[16:48, 40:].any() and not heat[:, :40].any() and not heat[:16].any() and not heat[48:].any()


def test_drift_watches_the_brightness_of_the_region(package: Path, frame: Frame) -> None:
    """It was calibrated on that, so a dark rim is no drift."""
    with open_model(package, "openvino", threads=1) as model:
        watch = DriftWatch(DriftSection(), lambda *_: None)
        watch.restart(model, model.threshold)
        watch.add(frame.picture, model.inspect(frame.picture))
    x, y, width, height = BOX
    assert watch.numbers["brightness_mean"] == pytest.approx(frame.image[y : y + height, x : x + width].mean())


def test_the_live_view_is_told_of_the_region(package: Path, frame: Frame) -> None:
    """The page gets the whole frame and the box of the region in its pixels."""
    latest = LatestFrames(["top"])
    with open_model(package, "openvino", threads=1) as model:
        latest.show(frame, model.inspect(frame.picture))
    feed = LiveFeed(latest, lambda: None)  # type: ignore[arg-type,return-value]
    feed.start()
    wait_until(lambda: feed.shown, "a frame on the page")
    feed.close()
    (shown,) = feed.shown["top"]
    assert (shown.size, shown.region) == ((80, 64), BOX)


def test_check_tries_a_frame_of_which_the_region_is_a_tile(package: Path, frame: Frame, tmp_path: Path) -> None:
    """Self-test and camera pass; a camera whose frames leave no tile of the region is named with the sizes."""
    data = station_data(tmp_path, 1) | {"model": str(package)}
    path = tmp_path / "station.yaml"
    path.write_text(yaml.safe_dump(data))
    for image, sentence in ((frame.image, "80 x 64 px, 1 channel; 9 tiles"), (frame.image[:20], "has 40 x 10 px")):
        assert cv2.imwrite(str(tmp_path / "pictures" / "0.png"), image)
        found = {}
        for finding in check_station(path, open_model):
            found[finding.subject] = finding
            if finding.subject == "camera":
                break
        assert found["self-test"].ok and f"of {SIZE} px in" in found["self-test"].message
        assert sentence in found["camera"].message and found["camera"].ok == (image is frame.image)

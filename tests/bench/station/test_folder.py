"""bench.station.folder: a real station inspects a folder, watched from outside."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.station import folder
from latentline.errors import DatasetError, TrainingError
from tests.mosquitto import Mosquitto


def test_a_station_is_watched_from_its_first_picture_to_its_last(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Every picture is inspected and gone, and the figures are those of a process that ran."""
    cv2.imwrite(str(tmp_path / "image.png"), np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8))
    options = argparse.Namespace(images=tmp_path, package=folder.DEMO, pictures=60, size=(96, 64))
    figures = folder.measure(options)
    assert figures.pictures == 60 and 0 < figures.start_processor < 60
    assert 0 < figures.used <= 1.05 and 0 < figures.wanted <= 1
    assert 50 < figures.memory < 2000


def test_what_inspects_nothing_is_a_sentence(tmp_path: Path) -> None:
    """A folder without images, and a station that ends at once."""
    options = argparse.Namespace(images=tmp_path, package=folder.DEMO, pictures=2, size=(96, 64))
    with pytest.raises(DatasetError, match="no image"):
        folder.measure(options)
    (tmp_path / "00000.png").touch()
    with pytest.raises(TrainingError, match="the station ended with 0"):
        folder.watch(["true"], [tmp_path / "00000.png"], tmp_path / "log.txt")

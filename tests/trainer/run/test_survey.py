"""What `fit` finds and says before it trains, and the height that it chooses for large images."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from latentline.errors import ConfigError
from latentline.vision.images import read_image
from tests.trainer.folder import write_folder
from trainer.checkpoint import load_checkpoint
from trainer.cli import load_config
from trainer.config import TrainConfig
from trainer.run.fit import fit
from trainer.run.opening import open_run
from trainer.run.survey import take_survey, tiler_of, with_height
from trainer.run.training_data import open_training_source
from trainer.search_cost import SearchCost, say_cost


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of 640 px: 361 tiles of 64 px that overlap by half. Their defects are 10 px a side."""
    return write_folder(tmp_path_factory.mktemp("large"), train=30, good=1, defects=4, side=640)


def write(folder: Path, root: Path, method: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A configuration of method pca, which trains in a moment."""
    content = {
        "name": "large",
        "method": method or {"kind": "pca"},
        "data": {"root": str(root), "known_abnormal_fraction": 0.5},
        "network": {"resolution": 64, "latent_size": 4},
        "schedule": {"final_images": 64},
        "search": {"iterations": 0, "overlap": 0.5},
        **changes,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def surveyed(config: TrainConfig) -> TrainConfig:
    """The configuration with the height that the images ask for."""
    source, split = open_training_source(config)
    found = take_survey(source, split, 0)
    assert found is not None
    return with_height(config, found)


def test_large_images_are_scaled_and_everyone_uses_the_same_height(
    large: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An image has at most 150 tiles; the height is recorded, and a resume takes it from there."""
    path, run = write(tmp_path, large), tmp_path / "run"
    with caplog.at_level(logging.INFO):
        checkpoint = load_checkpoint(fit(load_config(path, None), run))
    assert checkpoint.config.preprocessing.height == 416
    assert (
        tiler_of(checkpoint.config).count(open_training_source(checkpoint.config)[0].read("test/good/000.png")) == 144
    )
    assert yaml.safe_load((run / "config.yaml").read_text())["preprocessing"]["height"] == 416
    fit(load_config(path, None), run, resume=True)
    other = load_config(write(tmp_path, large, preprocessing={"height": 320}), None)
    with pytest.raises(ConfigError, match=r"preprocessing\.height was 416, is 320"):
        fit(other, run, resume=True)


def test_the_first_lines_say_what_was_found(large: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bit depth, images of each side, their size, masks, the height, tiles and time of an image; in log.txt, too."""
    with caplog.at_level(logging.INFO):
        fit(load_config(write(tmp_path, large), None), tmp_path / "run")
    depth, images, masks, smallest, height, cost = caplog.messages[:6]
    assert depth.startswith("preprocessing.bit_depth: 8, ")
    assert images == (
        "22 normal images train and 8 are held out, of 640 x 640 px; 0 known-abnormal images train and 2 weigh the "
        "score; 1 normal and 2 abnormal images are for the test"
    )
    assert masks == (
        "masks: 4 files found, 4 matched to images; of 2 known-abnormal images 2 have a mask, and 2 of these are used"
    )
    assert smallest == "the smallest defect looked at is about 10 px wide"
    assert height.startswith("preprocessing.height: 416 px, ") and "361" in height
    assert cost.startswith("144 tiles an image; ") and "searching 10 images to calibrate takes about" in cost
    assert all(message in (tmp_path / "run" / "log.txt").read_text() for message in caplog.messages[:6])


@pytest.mark.parametrize(
    ("preprocessing", "overlap", "height"), [({"height": 512}, 0.5, 512), ({}, 0.0, None)], ids=["given", "few tiles"]
)
def test_a_height_is_chosen_only_where_it_is_needed(
    preprocessing: dict[str, int], overlap: float, height: int | None, large: Path, tmp_path: Path
) -> None:
    """A number stays what it is, and images with few tiles keep their own size."""
    search = {"iterations": 0, "overlap": overlap}
    config = load_config(write(tmp_path, large, preprocessing=preprocessing, search=search), None)
    assert surveyed(config).preprocessing.height == height


def test_a_small_defect_asks_for_a_larger_height(large: Path, tmp_path: Path) -> None:
    """With tiles of 32 px that limit allows 208 px, at which a defect of 10 px in 640 would have 3."""
    network = {"resolution": 32, "latent_size": 4}
    known = load_config(write(tmp_path, large, network=network), None)
    assert surveyed(known).preprocessing.height == 384
    none = load_config(write(tmp_path, large, network=network, data={"root": str(large)}), None)
    assert surveyed(none).preprocessing.height == 208


@pytest.mark.parametrize(
    ("cost", "warns"), [(SearchCost(49, 0.001), False), (SearchCost(961, 0.001), True), (SearchCost(100, 0.3), True)]
)
def test_a_cost_in_hours_is_a_warning(cost: SearchCost, warns: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Many tiles, or a calibration beyond a quarter of an hour, are a warning that names three settings."""
    with caplog.at_level(logging.INFO):
        say_cost(cost, 0, "a few tiles", 100, trained=True)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert bool(warnings) == warns
    settings = ("preprocessing.height", "network.resolution", "search.overlap", "train again")
    assert all(name in sentence for sentence in warnings for name in settings)


@pytest.mark.parametrize(
    "blue,channels,said",
    [
        (-60, 1, "the images have colour, and the model sees grey levels"),
        (-60, 3, None),
        (0, 3, "the images are grey; with preprocessing.channels: 1"),
        (-3, 3, "the images are grey; with preprocessing.channels: 1"),
        (0, 1, None),
    ],
    ids=["colour unseen", "colour seen", "grey as colour", "nearly grey as colour", "grey"],
)
def test_a_model_that_sees_less_than_the_images_have_is_said(
    blue: int, channels: int, said: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect of colour alone is invisible in grey levels; three channels of grey images cost time for nothing."""
    root = write_folder(tmp_path, train=12, good=1, defects=0, side=64)
    for path in (root / "train" / "good").iterdir():
        grey = read_image(path).astype(int)
        assert cv2.imwrite(str(path), np.clip(np.stack([grey + blue, grey, grey], axis=2), 0, 255).astype(np.uint8))
    data = {"root": str(root), "held_out_fraction": 0.5}
    config = load_config(write(tmp_path, root, data=data, preprocessing={"channels": channels}), None)
    caplog.set_level(logging.INFO)
    open_run(config, *open_training_source(config), resumed=False)
    lines = [line for line in caplog.messages if line.startswith("the images ")]
    assert (lines == []) if said is None else (len(lines) == 1 and said in lines[0])

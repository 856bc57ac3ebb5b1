"""Caltech-256 and NanoTWICE: protocols on folders of their own layout."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from latentline.errors import DatasetError, ImageError
from latentline.scoring.held_out import split_held_out
from trainer.config import TrainConfig
from trainer.data.caltech import CaltechSource
from trainer.data.nanotwice import NanoTwiceSource
from trainer.data.settings import CaltechData, NanoTwiceData
from trainer.run.survey import take_survey, tiler_of, with_height
from trainer.run.training_data import open_training_source


def write(path: Path, image: np.ndarray) -> None:
    """A picture in a folder made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


@pytest.fixture(scope="module")
def caltech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three categories of 20 and clutter of 30, in colour and grey, with what else lies in such folders."""
    root = tmp_path_factory.mktemp("256_ObjectCategories")
    for category, count in {"001.ak47": 20, "002.american-flag": 20, "003.backpack": 20, "257.clutter": 30}.items():
        for index in range(count):
            shape = (10, 12, 3) if index % 2 else (10, 12)
            write(root / category / f"{category[:3]}_{index:04}.jpg", np.full(shape, index, np.uint8))
    (root / "001.ak47" / "greg").mkdir()
    (root / "001.ak47" / "RENAME2").write_text("")
    (root / "notes").mkdir()
    return root


def caltech_source(root: Path, **settings: Any) -> CaltechSource:
    """A source with the defaults of the configuration."""
    return CaltechSource(CaltechData(kind="caltech256", root=root, **settings))


def test_caltech_shares_out_every_category(caltech: Path) -> None:
    """70 % of each normal category train or are held out, the rest and the clutter are tested, a tenth of it known."""
    source = caltech_source(caltech, normal_categories=2, seed=2)
    split = source.split(0)
    shown = [name for side in (split.train, split.held_out, split.test_good) for name in side]
    categories = {name.split("/")[0] for name in shown}
    assert len(set(shown)) == len(shown) == 40 and len(categories) == 2 and "257.clutter" not in categories
    for category in categories:
        sizes = [sum(n.startswith(category) for n in side) for side in (split.train, split.held_out, split.test_good)]
        assert sizes == [10, 4, 6]
    assert len(split.known_abnormal) == 3 and len(split.test_abnormal["clutter"]) == 27
    assert not set(split.known_abnormal) & set(split.test_abnormal["clutter"])


def test_caltech_draws_other_categories_with_another_seed(caltech: Path) -> None:
    """The setting `seed` chooses the categories, and the same seed chooses the same."""
    chosen = [tuple(caltech_source(caltech, seed=seed).normal) for seed in range(20)]
    assert len(set(chosen)) >= 3
    assert chosen[4] == tuple(caltech_source(caltech, seed=4).normal)


def test_caltech_reads_colour_and_grey(caltech: Path) -> None:
    """Images come as they are; preprocessing brings them to the model's channels."""
    source = caltech_source(caltech)
    assert {source.read(f"001.ak47/001_{i:04}.jpg").ndim for i in range(4)} == {2, 3}
    with pytest.raises(ImageError):
        source.read("001.ak47/none.jpg")


def test_caltech_says_what_is_missing(tmp_path: Path, caltech: Path) -> None:
    """No folder, no clutter, too few categories, a category without images."""
    with pytest.raises(DatasetError, match="no such folder"):
        caltech_source(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="0 clutter categories and 0 others"):
        caltech_source(tmp_path)
    with pytest.raises(DatasetError, match="1 clutter categories and 3 others; needed are 1 and 4"):
        caltech_source(caltech, normal_categories=4)
    (tmp_path / "001.empty").mkdir()
    write(tmp_path / "257.clutter" / "a.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(DatasetError, match=r"001\.empty has 0 images"):
        caltech_source(tmp_path).split(0)


@pytest.fixture(scope="module")
def nanotwice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four and one normal images of 1024 x 700 px, whose pixels tell their place, and nine defects with masks."""
    root = tmp_path_factory.mktemp("nanotwice")
    place = (np.arange(700)[:, None] * 3 + np.arange(1024)).astype(np.uint8)
    for index in range(5):
        write(root / ("train" if index < 4 else "test") / "good" / f"ITIA11{index:02}.png", place)
    for index in range(9):
        write(root / "test" / "defect" / f"{index}.png", place)
        write(root / "ground_truth" / "defect" / f"{index}_mask.png", np.where(place > 250, 255, 0).astype(np.uint8))
    return root


def nanotwice_source(root: Path, **settings: Any) -> NanoTwiceSource:
    """A source with the defaults of the configuration."""
    return NanoTwiceSource(NanoTwiceData(kind="nanotwice", root=root, **settings))


def test_all_five_normal_images_train_and_calibrate(nanotwice: Path) -> None:
    """Left parts train, right parts are held out, no pixel twice, none lost; there is no normal test image."""
    source = nanotwice_source(nanotwice)
    split = source.split(0)
    assert len(split.train) == 5 and split.test_good == () and len(split.test_abnormal["defect"]) == 9
    seen: dict[str, np.ndarray] = {}
    for name in split.train + split.held_out:
        file, _, numbers = name.partition("@")
        x, y, width, height = map(int, numbers.split(","))
        count = seen.setdefault(file, np.zeros((700, 1024), np.int64))
        count[y : y + height, x : x + width] += 1
        whole = cv2.imread(str(nanotwice / file), cv2.IMREAD_GRAYSCALE)
        assert whole is not None
        assert np.array_equal(source.read(name), whole[y : y + height, x : x + width])
        assert (x >= 768) == (name in split.held_out) and source.mask(name, (height, width)) is None
    assert len(seen) == 5 and "test/good/ITIA1104.png" in seen
    assert all((count == 1).all() for count in seen.values())


def test_the_held_out_pieces_are_enough_to_calibrate(nanotwice: Path) -> None:
    """8 pieces standardise and 19 set a threshold at 5 %, of different images, and no piece is smaller than 128 px."""
    source = nanotwice_source(nanotwice)
    standardising, scored = split_held_out(source.split(0).held_out, source.groups(), 0)
    assert len(standardising) >= 8 and len(scored) >= 19
    assert not {n.partition("@")[0] for n in standardising} & {n.partition("@")[0] for n in scored}
    assert min(min(source.read(name).shape) for name in standardising) >= 128


def test_nanotwice_calibrates_at_the_scale_that_trains(nanotwice: Path) -> None:
    """A height would scale its pieces to the height of a whole image: none is taken, and none is chosen."""
    given = {"data": {"kind": "nanotwice", "root": str(nanotwice)}, "method": {"kind": "pca"}}
    config = TrainConfig.model_validate(given)
    source, split = open_training_source(config)
    found = take_survey(source, split, 0)
    assert found is not None and with_height(config, found) == config
    assert tiler_of(config).tile(source.read(split.held_out[0])).prepared.shape[:2] == (140, 128)
    with pytest.raises(ValidationError, match=r"preprocessing\.height would scale to the height of a whole one"):
        TrainConfig.model_validate({**given, "preprocessing": {"height": 700}})


def test_known_defects_of_nanotwice_are_not_tested(nanotwice: Path) -> None:
    """Two thirds of nine train, too few to keep some for the score; masks belong to whole images."""
    source = nanotwice_source(nanotwice, known_abnormal_fraction=0.67)
    split = source.split(0)
    sides = (split.known_abnormal, split.validation_abnormal, split.test_abnormal["defect"])
    assert [len(side) for side in sides] == [6, 0, 3] and len(set().union(*sides)) == 9
    mask = source.mask(split.known_abnormal[0], (700, 1024))
    assert mask is not None and 0 < mask.mean() < 0.1


@pytest.mark.parametrize("part", ["0,0,1025,700", "1020,0,10,10", "0,699,4,2", "0,0,0,5"])
def test_a_part_outside_the_image_is_an_image_error(nanotwice: Path, part: str) -> None:
    """A checkpoint of other images must not read half a part."""
    with pytest.raises(ImageError, match="the image has only 1024 x 700 px"):
        nanotwice_source(nanotwice).read(f"train/good/ITIA1100.png@{part}")


def test_nanotwice_without_defects_is_refused(tmp_path: Path) -> None:
    """There would be nothing to score."""
    write(tmp_path / "train" / "good" / "a.png", np.zeros((300, 600), np.uint8))
    with pytest.raises(DatasetError, match="no images in test/defect"):
        nanotwice_source(tmp_path).split(0)

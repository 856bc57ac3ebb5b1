"""Folders are read strictly: nothing is lost without a word, and no part stands on two sides."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentline.errors import DatasetError
from tests.trainer.folder import write_folder
from trainer.config import DataConfig
from trainer.data.crops import CropSampler, prepare_mask
from trainer.data.folders import ImageFolder, load
from trainer.data.split import Split, split


@pytest.mark.parametrize("make", [lambda p: None, lambda p: (p / "train" / "good").mkdir(parents=True)])
def test_a_missing_or_empty_dataset_is_one_sentence(tmp_path: Path, make: object) -> None:
    """The sentence names the folder and what belongs there."""
    root = tmp_path / "data"
    make(root)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=r"data: .*(no such folder|no images in train/good)"):
        ImageFolder.scan(root)


def test_a_corrupt_image_is_named_and_skipped(tmp_path: Path) -> None:
    """One broken file among many costs that file only."""
    root = write_folder(tmp_path)
    (root / "train" / "good" / "003.png").write_bytes(b"not a picture")
    names = ImageFolder.scan(root).train_good
    loaded = load(root, names)
    assert len(loaded.images) == len(names) - 1
    assert len(loaded.bad) == 1 and "003.png" in loaded.bad[0]


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_image_cut_short_is_not_half_read(tmp_path: Path, suffix: str, cut: float) -> None:
    """A decoder would fill the rest with grey; the file is refused instead."""
    root = write_folder(tmp_path)
    image = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    content = cv2.imencode(suffix, image)[1].tobytes()
    (root / "train" / "good" / f"zzz{suffix}").write_bytes(content[: int(len(content) * cut)])
    loaded = load(root, ImageFolder.scan(root).train_good)
    assert len(loaded.bad) == 1 and f"zzz{suffix}" in loaded.bad[0]


def test_more_than_a_tenth_corrupt_stops(tmp_path: Path) -> None:
    """A mostly broken folder is a mistake to be said, not a small training set."""
    root = write_folder(tmp_path, train=20)
    for index in range(3):
        (root / "train" / "good" / f"{index:03}.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="3 of 20 images"):
        load(root, ImageFolder.scan(root).train_good)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    """A mask that does not fit its image would make the pixel figures wrong without a word."""
    root = write_folder(tmp_path)
    cv2.imwrite(str(root / "ground_truth" / "square" / "000_mask.png"), np.zeros((10, 20), np.uint8))
    with pytest.raises(DatasetError, match="20 x 10 px, its image 48 x 48"):
        ImageFolder.scan(root).mask("test/square/000.png", (48, 48))


@given(st.integers(0, 50), st.floats(0.1, 0.6), st.floats(0, 0.6))
def test_no_group_stands_on_two_sides(seed: int, holdout: float, known: float) -> None:
    """Exposures of one part are all trained on, all held out, or all tested on."""
    train = tuple(f"train/good/{i}.png" for i in range(30))
    abnormal = {"crack": tuple(f"test/crack/{i}.png" for i in range(12))}

    class Grouped(ImageFolder):
        def groups(self, table: str | None) -> dict[str, str]:
            return {name: f"part{i // 3}" for names in (train, abnormal["crack"]) for i, name in enumerate(names)}

    folder = Grouped(Path("x"), train, (), (), abnormal)
    parts = split(folder, DataConfig(root=Path("x"), holdout=holdout, known_abnormal_fraction=known), seed)
    group = folder.groups(None)
    sides = [set(map(group.__getitem__, side)) for side in (parts.train, parts.held_out)]
    assert not sides[0] & sides[1] and set(parts.train) | set(parts.held_out) == set(train)
    known_groups = {group[n] for n in parts.known_abnormal}
    assert not known_groups & {group[n] for n in parts.test_abnormal["crack"]}
    assert Split.from_json(parts.to_json()) == parts


def test_known_abnormal_images_come_from_a_list(tmp_path: Path) -> None:
    """Listed images leave the test set; a name that is not there is an error that names it."""
    root = write_folder(tmp_path / "data")
    listed = tmp_path / "known.txt"
    listed.write_text("# chosen by hand\ntest/square/002.png\n")
    config = DataConfig(root=root, known_abnormal=listed)
    parts = split(ImageFolder.scan(root), config, 0)
    assert parts.known_abnormal == ("test/square/002.png",)
    assert "test/square/002.png" not in parts.test_abnormal["square"]
    listed.write_text("test/square/typo.png\n")
    with pytest.raises(DatasetError, match=r"test/square/typo\.png"):
        split(ImageFolder.scan(root), config, 0)


def test_groups_come_from_a_table(tmp_path: Path) -> None:
    """The CSV names file and group; a table without these columns is refused."""
    root = write_folder(tmp_path)
    with (root / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "tile_group"], ["train/good/000.png", "a"]])
    assert ImageFolder.scan(root).groups("groups.csv") == {"train/good/000.png": "a"}
    (root / "groups.csv").write_text("name;part\n")
    (root / "groups.csv").write_text("name\nx\n")
    with pytest.raises(DatasetError, match="columns file and tile_group"):
        ImageFolder.scan(root).groups("groups.csv")


def test_crops_of_known_abnormal_images_show_the_defect() -> None:
    """With a mask every drawn tile overlaps it, also at the image's border and in an image smaller than a tile."""
    image = np.zeros((100, 40, 1), np.uint8)
    mask = np.zeros((100, 40), np.bool_)
    image[97:, 37:], mask[97:, 37:] = 255, True
    tiles = CropSampler([image], 64, masks=[mask]).draw(50, np.random.default_rng(0))
    assert tiles.shape == (50, 1, 64, 64)
    assert (tiles.flatten(1).max(1).values == 1).all()


def test_a_small_defect_survives_scaling_down() -> None:
    """A one-pixel mask still marks a pixel when the image shrinks."""
    mask = np.zeros((300, 300), np.bool_)
    mask[200, 100] = True
    scaled = prepare_mask(mask, np.zeros((64, 64, 1), np.uint8))
    assert scaled.any() and scaled[40:46, 19:24].any()

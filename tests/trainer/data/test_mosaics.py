"""IR-MNIST mosaics: the right digits in the right cells, the same for the same seed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentline.errors import DatasetError, ImageError
from tests.trainer.digits import write_mnist
from trainer.data.mosaics import MosaicSource
from trainer.data.settings import IrMnistData


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 training and 12 test images of each digit."""
    return write_mnist(tmp_path_factory.mktemp("mnist"))


def source_of(root: Path, **settings: Any) -> MosaicSource:
    """A few mosaics in which 3 is abnormal."""
    counts = {"train_mosaics": 4, "held_out_mosaics": 5, "known_abnormal_mosaics": 9, "test_mosaics": 6}
    return MosaicSource(IrMnistData(kind="ir_mnist", root=root, **{**counts, **settings}))


def cells(image: np.ndarray) -> np.ndarray:
    """The digit in each cell, [11, 11]: a digit's pixels have levels of 20·d … 20·d + 9."""
    tiles = image.reshape(11, 28, 11, 28).transpose(0, 2, 1, 3) // 20
    assert (tiles == tiles[:, :, :1, :1]).all()
    levels: np.ndarray = tiles[:, :, 0, 0]
    return levels


def test_normal_mosaics_hold_every_digit_but_the_abnormal_one(root: Path) -> None:
    """All nine others appear, and the mask is empty."""
    source = source_of(root)
    split = source.split(0)
    shown = np.concatenate([cells(source.read(n)).ravel() for n in split.train + split.held_out + split.test_good])
    assert set(shown) == set(range(10)) - {3}
    assert not any(source.mask(n, (308, 308)).any() for n in split.train + split.test_good)  # type: ignore[union-attr]


def test_masks_lie_on_the_abnormal_cells(root: Path) -> None:
    """A tenth of the cells shows the digit, and the mask is exactly those cells."""
    source = source_of(root)
    split = source.split(0)
    names = split.known_abnormal + split.validation_abnormal + split.test_abnormal["digit-3"]
    assert len(names) == 12
    for name in names:
        mask = source.mask(name, (308, 308))
        wrong = cells(source.read(name)) == 3
        assert wrong.sum() == 12 and mask is not None
        assert np.array_equal(mask, wrong.repeat(28, 0).repeat(28, 1))


def test_the_same_seed_gives_the_same_mosaics(root: Path) -> None:
    """Names stand in checkpoints: a mosaic must be what it was; another seed, kind or index gives another."""
    first, again, other = source_of(root), source_of(root, train_mosaics=60), source_of(root, seed=1)
    name = "train/2"
    assert np.array_equal(first.read(name), again.read(name))
    for image in (other.read(name), first.read("train/3"), first.read("held_out/2")):
        assert not np.array_equal(first.read(name), image)


def test_sides_are_as_large_as_asked_and_share_no_digit(root: Path) -> None:
    """Half of the test is abnormal; held-out mosaics are made of digits that no training mosaic shows."""
    source = source_of(root, train_mosaics=30, held_out_mosaics=30)
    split = source.split(0)
    assert (len(split.train), len(split.held_out), len(split.test_good)) == (30, 30, 3)
    assert (len(split.known_abnormal), len(split.validation_abnormal), len(split.test_abnormal["digit-3"])) == (9, 0, 3)

    def digits_of(names: tuple[str, ...]) -> set[bytes]:
        images = (source.read(name).reshape(11, 28, 11, 28).transpose(0, 2, 1, 3).reshape(-1, 784) for name in names)
        return {digit.tobytes() for image in images for digit in image}

    sides = [digits_of(names) for names in (split.train, split.held_out, split.test_good)]
    assert len(set().union(*sides)) == sum(map(len, sides))


@pytest.mark.parametrize("name", ["train/4", "train/-1", "other/0", "known", "test_good/3"])
def test_a_mosaic_that_is_not_there_is_an_image_error(root: Path, name: str) -> None:
    """As a missing file would be."""
    with pytest.raises(ImageError, match="there is no mosaic"):
        source_of(root).read(name)


def test_files_without_the_digit_are_refused(tmp_path: Path) -> None:
    """No mosaic can be made without both kinds of digit."""
    with pytest.raises(DatasetError, match="digit 3, or any other, is missing"):
        source_of(write_mnist(tmp_path, each_train=1, each_test=1))

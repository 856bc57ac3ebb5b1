"""MNIST: broken files are refused, and the protocol gives every image one role."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentline.errors import DatasetError, ImageError
from tests.trainer.digits import write_idx, write_mnist
from trainer.data.idx import read_idx
from trainer.data.mnist import MnistSource
from trainer.data.settings import MnistData
from trainer.data.split import Split


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 training and 12 test images of each digit."""
    return write_mnist(tmp_path_factory.mktemp("mnist"))


def source_of(root: Path, **settings: Any) -> MnistSource:
    """A source of which digit 3 is normal."""
    return MnistSource(MnistData(kind="mnist", root=root, **{"normal_digit": 3, **settings}))


def digits(source: MnistSource, names: tuple[str, ...]) -> list[int]:
    """The digit that each image really shows."""
    return [int(source.read(name)[16, 16]) // 20 for name in names]


def all_names(split: Split) -> list[str]:
    """Every name of every side."""
    sides = (split.train, split.held_out, split.known_abnormal, split.validation_abnormal, split.test_good)
    return [name for side in (*sides, *split.test_abnormal.values()) for name in side]


@given(array=st.integers(1, 9), seed=st.integers(0, 9), compress=st.booleans())
def test_idx_files_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, array: int, seed: int, compress: bool
) -> None:
    """Plain or gzipped, every byte comes back in its place."""
    folder = tmp_path_factory.mktemp("idx")
    written = np.random.default_rng(seed).integers(0, 256, (array, 5, 7), dtype=np.uint8)
    write_idx(folder / "x", written, compress)
    assert np.array_equal(read_idx(folder, "x", (5, 7)), written)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not an idx file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "not an idx file"),
        (b"\0\0\x0d\3" + bytes(12), "not an idx file"),  # floats
        (b"\0\0\x08\3\0\0\0\2\0\0\0\2", "header"),
        (b"\0\0\x08\3\0\0\0\0\0\0\0\2\0\0\0\2", "header"),
        (b"\0\0\x08\3\xff\xff\xff\xff\0\0\0\2\0\0\0\2" + bytes(8), "header"),
        (b"\0\0\x08\3\0\0\0\2\0\0\0\3\0\0\0\2" + bytes(12), "header"),
        (b"\0\0\x08\3\0\0\0\2\0\0\0\2\0\0\0\2" + bytes(7), "cut short"),
        (b"\0\0\x08\3\0\0\0\2\0\0\0\2\0\0\0\2" + bytes(9), "more than its header says"),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_a_broken_idx_file_is_refused(tmp_path: Path, content: bytes, sentence: str, compress: bool) -> None:
    """Wrong magic, wrong sizes, too short, too long: one sentence that names the file, and no memory for the header."""
    path = tmp_path / ("x.gz" if compress else "x")
    path.write_bytes(gzip.compress(content) if compress else content)
    with pytest.raises(DatasetError, match=rf"x.*{sentence}"):
        read_idx(tmp_path, "x", (2, 2))


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:40] + bytes(20) + b[60:], lambda b: b"none of it"])
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, damage: Any) -> None:
    """A cut or altered archive gives no images."""
    write_idx(tmp_path / "x", np.random.default_rng(0).integers(0, 256, (50, 2, 2), dtype=np.uint8), compress=True)
    path = tmp_path / "x.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"x\.gz: cannot be read"):
        read_idx(tmp_path, "x", (2, 2))


def test_missing_or_foreign_files_are_named(tmp_path: Path) -> None:
    """No folder, no file, labels of other images."""
    with pytest.raises(DatasetError, match="no such folder"):
        source_of(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="train-images-idx3-ubyte: there is no such file"):
        source_of(tmp_path)
    write_mnist(tmp_path, 2, 2, compress=False)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(19, np.uint8))
    with pytest.raises(DatasetError, match="20 images and 19 labels"):
        source_of(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.full(20, 10, np.uint8))
    with pytest.raises(DatasetError, match="labels up to 10"):
        source_of(tmp_path)


def test_a_digit_is_padded_with_black(root: Path) -> None:
    """28 px in a frame of 2 px make one tile of 32 px."""
    image = source_of(root).read("train/5")
    assert image.shape == (32, 32) and image.dtype == np.uint8
    border = np.ones((32, 32), np.bool_)
    border[2:30, 2:30] = False
    assert not image[border].any()


@pytest.mark.parametrize("name", ["train/400", "valid/1", "train/x", "train", "train/-401"])
def test_a_name_that_is_not_there_is_an_image_error(root: Path, name: str) -> None:
    """As a missing file would be."""
    with pytest.raises(ImageError, match="there is no image"):
        source_of(root).read(name)


def test_the_protocol_of_the_paper(root: Path) -> None:
    """70 % of the normal digit train, the rest are held out, 10 % of each other digit are known; the test is t10k."""
    source = source_of(root, known_abnormal_fraction=0.1)
    split = source.split(5)
    assert digits(source, split.train) == [3] * 28 and digits(source, split.held_out) == [3] * 12
    known = digits(source, split.known_abnormal + split.validation_abnormal)
    assert sorted(known) == sorted([0, 1, 2, 4, 5, 6, 7, 8, 9] * 4) and len(split.validation_abnormal) == 12
    assert digits(source, split.test_good) == [3] * 12
    assert {kind: digits(source, names) for kind, names in split.test_abnormal.items()} == {
        f"digit-{d}": [d] * 12 for d in range(10) if d != 3
    }
    assert all(name.startswith("test/") for name in all_names(split)[-120:])
    assert len(set(all_names(split))) == len(all_names(split))


def test_held_out_images_are_no_more_than_a_threshold_needs(tmp_path: Path) -> None:
    """300 of many."""
    source = source_of(write_mnist(tmp_path, each_train=800, each_test=1), train_fraction=0.5)
    assert len(source.split(0).held_out) == 300


@given(st.integers(0, 20), st.sampled_from([(), (1, 7), (0, 2, 9)]), st.sampled_from([None, 1, 7, 13, 500]))
def test_a_contaminated_run_sees_and_tests_the_same_images(
    root: Path, seed: int, known_digits: tuple[int, ...], limit: int | None
) -> None:
    """What is known abnormal in one run trains as normal in the other, and nothing else differs."""
    settings = {"known_abnormal_digits": known_digits, "test_limit": limit, "known_abnormal_fraction": 0.3}
    told = source_of(root, **settings).split(seed)
    mixed = source_of(root, **settings, contaminated=True).split(seed)
    assert set(mixed.train) == {*told.train, *told.known_abnormal, *told.validation_abnormal}
    assert mixed.known_abnormal == mixed.validation_abnormal == ()
    assert (mixed.held_out, mixed.test_good, mixed.test_abnormal) == (told.held_out, told.test_good, told.test_abnormal)


def test_known_digits_are_not_tested(root: Path) -> None:
    """With three digits known, the test shows the six that training never saw; the normal digit is none of them."""
    source = source_of(root, known_abnormal_digits=(1, 2, 4), known_abnormal_fraction=0.5)
    split = source.split(0)
    assert set(digits(source, split.known_abnormal)) == {1, 2, 4}
    assert set(split.test_abnormal) == {f"digit-{d}" for d in (0, 5, 6, 7, 8, 9)}
    with pytest.raises(DatasetError, match="holds the normal digit 3"):
        source_of(root, known_abnormal_digits=(3, 4)).split(0)
    with pytest.raises(DatasetError, match="no images are left"):
        source_of(root, known_abnormal_digits=(0, 1, 2, 4, 5, 6, 7, 8, 9)).split(0)


@pytest.mark.parametrize("limit", [1, 9, 10, 50, 107, 2000])
def test_a_limited_test_is_spread_evenly(root: Path, limit: int) -> None:
    """No more normal images than the limit and as many abnormal ones, of each digit alike, all from the whole test."""
    whole, some = source_of(root).split(0), source_of(root, test_limit=limit).split(0)
    assert len(some.test_good) == min(limit, 12) and set(some.test_good) <= set(whole.test_good)
    counts = [len(some.test_abnormal.get(kind, ())) for kind in whole.test_abnormal]
    assert (
        sum(counts) == min(limit, 108)
        and max(counts) - min(counts) <= 1
        and 0 not in map(len, some.test_abnormal.values())
    )
    assert all(set(names) <= set(whole.test_abnormal[kind]) for kind, names in some.test_abnormal.items())


def test_without_known_images_none_are_chosen(root: Path) -> None:
    """known_abnormal_fraction 0 leaves both abnormal sides empty."""
    split = source_of(root, known_abnormal_fraction=0).split(0)
    assert split.known_abnormal == split.validation_abnormal == ()


def test_a_label_file_that_ends_in_its_header_is_refused(tmp_path: Path) -> None:
    """Also where an item is a single byte."""
    (tmp_path / "x").write_bytes(b"\0\0\x08\1\0\0")
    with pytest.raises(DatasetError, match=r"x: its header"):
        read_idx(tmp_path, "x", ())

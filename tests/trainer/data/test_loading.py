"""A broken file costs itself alone, and is named; a mostly broken folder is a fault."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from latentline.errors import DatasetError, ImageError
from tests.trainer.folder import write_folder
from trainer.data.folders import FolderSource
from trainer.data.held_out import read_held_out
from trainer.data.loading import load, read_each
from trainer.data.settings import FolderData
from trainer.data.split import Split


def everything(source: FolderSource) -> tuple[str, ...]:
    """All normal training images of a source."""
    parts = source.split(0)
    return (*parts.train, *parts.held_out)


def test_a_corrupt_image_is_named_and_skipped(tmp_path: Path) -> None:
    """One broken file among many costs that file only."""
    source = FolderSource(FolderData(root=write_folder(tmp_path)))
    (tmp_path / "train" / "good" / "003.png").write_bytes(b"not a picture")
    loaded = load(source, everything(source))
    assert len(loaded.images) == 23
    assert len(loaded.skipped) == 1 and "003.png" in loaded.skipped[0]


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_image_cut_short_is_not_half_read(tmp_path: Path, suffix: str, cut: float) -> None:
    """A decoder would fill the rest with grey; the file is refused instead."""
    root = write_folder(tmp_path)
    image = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    content = cv2.imencode(suffix, image)[1].tobytes()
    (root / "train" / "good" / f"zzz{suffix}").write_bytes(content[: int(len(content) * cut)])
    source = FolderSource(FolderData(root=root))
    loaded = load(source, everything(source))
    assert len(loaded.skipped) == 1 and f"zzz{suffix}" in loaded.skipped[0]


def test_more_than_a_tenth_corrupt_stops(tmp_path: Path) -> None:
    """A mostly broken folder is an error, not a small training set."""
    source = FolderSource(FolderData(root=write_folder(tmp_path, train=20)))
    for index in range(3):
        (tmp_path / "train" / "good" / f"{index:03}.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"3 of 20 images.*00[012]\.png"):
        load(source, everything(source))


def test_images_are_prepared_as_they_are_read(tmp_path: Path) -> None:
    """Only prepared images are held, and one that cannot be prepared is skipped by name."""
    source = FolderSource(FolderData(root=write_folder(tmp_path)))

    def prepare(image: np.ndarray) -> np.ndarray:
        if np.array_equal(image, source.read("train/good/007.png")):
            raise ImageError("too small")
        return image[:8]

    loaded = load(source, everything(source), prepare)
    assert {image.shape for image in loaded.images.values()} == {(8, 48)} and len(loaded.images) == 23
    assert len(loaded.skipped) == 1 and loaded.skipped[0].endswith("train/good/007.png: too small")


def test_reading_one_after_the_other_holds_nothing(tmp_path: Path) -> None:
    """An image is read when it is asked for, not before."""
    source = FolderSource(FolderData(root=write_folder(tmp_path)))
    images = read_each(source, ["train/good/000.png", "train/good/001.png"], [])
    assert next(images)[0] == "train/good/000.png"
    cv2.imwrite(str(tmp_path / "train" / "good" / "001.png"), np.full((9, 9), 77, np.uint8))
    assert next(images)[1].shape == (9, 9)


def test_calibration_is_given_held_out_and_validation_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every readable held-out image stands on one of two sides, by whole groups; what is skipped is named."""
    root = write_folder(tmp_path, defects=12)
    for path in (root / "train" / "good").glob("*.png"):
        cv2.imwrite(str(path), np.full((48, 48), int(path.stem), np.uint8))
    rows = [f"train/good/{i:03}.png,{i // 2}" for i in range(24)]
    (root / "groups.csv").write_text("\n".join(["file,tile_group", *rows]))
    source = FolderSource(
        FolderData(root=root, groups="groups.csv", held_out_fraction=0.5, known_abnormal_fraction=0.5)
    )
    split = source.split(0).without_abnormal()
    (root / split.held_out[0]).write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        held_out = read_held_out(source, split, 0)
    assert len(caplog.messages) == 1 and split.held_out[0] in caplog.messages[0]
    sides = [{int(frame[0, 0]) for frame in frames} for frames in (held_out.standardising, held_out.scored)]
    assert sides[0] | sides[1] == {int(Path(n).stem) for n in split.held_out[1:]}
    assert not {i // 2 for i in sides[0]} & {i // 2 for i in sides[1]}
    assert len(held_out.abnormal) == len(split.validation_abnormal) == 6


def test_too_many_broken_held_out_images_stop(tmp_path: Path) -> None:
    """A calibration on what happens to be left would be a quiet loss."""
    source = FolderSource(FolderData(root=write_folder(tmp_path)))
    names = tuple(f"train/good/{i:03}.png" for i in range(8))
    (tmp_path / names[1]).unlink()
    with pytest.raises(DatasetError, match="1 of 8 images"):
        read_held_out(source, Split((), names, (), (), (), {}), 0)

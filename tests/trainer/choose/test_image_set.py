"""The images that methods are compared on: from the user's training images, by whole parts, never from the test."""

import csv
from pathlib import Path

import numpy as np
import pytest

from latentline.errors import DatasetError
from latentline.vision.images import read_image
from tests.deep_pictures import deepened, png
from tests.trainer.folder import write_folder
from trainer.choose.choose import _images
from trainer.choose.image_set import GROUPS, KNOWN, write_image_set
from trainer.config import TrainConfig
from trainer.data.folders import FolderSource
from trainer.data.settings import FolderData
from trainer.data.sources import open_source


def _config(root: Path, **data: object) -> TrainConfig:
    return TrainConfig.model_validate({"data": {"root": root, **data}, "method": {"kind": "pca"}})


def _read(root: Path, pattern: str) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): read_image(p).tobytes() for p in sorted(root.glob(pattern))}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with parts of two exposures."""
    root = tmp_path_factory.mktemp("user")
    write_folder(root, train=60, good=8, defects=12)
    rows = [
        (f"train/good/{path.name}", f"part {i // 2}") for i, path in enumerate(sorted((root / "train/good").iterdir()))
    ]
    with (root / "parts.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "tile_group"), *rows])
    return root


def test_no_test_image_of_the_user_is_used_and_no_part_is_on_two_sides(user: Path, tmp_path: Path) -> None:
    """Half of the known-abnormal images trains, the other half is tested; the folder reads as any image folder."""
    config = _config(user, known_abnormal_fraction=0.5, groups="parts.csv")
    source = open_source(config.data, config.preprocessing)
    split, groups = source.split(0), source.groups()
    counts = write_image_set(source, config, tmp_path)
    tested = {source.read(name).tobytes() for name in (*split.test_good, *split.test_abnormal["square"])}
    written = set(_read(tmp_path, "t*/*/*.png").values())
    assert len(written) > 60 and not tested & written

    mine = FolderSource(FolderData(root=tmp_path, groups=GROUPS, known_abnormal=tmp_path / KNOWN))
    parts = mine.groups()
    split = mine.split(0)
    sides = [split.train, split.held_out, split.test_good]
    for i, side in enumerate(sides):
        for other in sides[i + 1 :]:
            assert not {parts[name] for name in side} & {parts[name] for name in other}
    assert set(parts.values()) & set(groups.values())
    assert (len(split.train), len(split.held_out), len(split.test_good)) == (
        counts.train,
        counts.calibration,
        counts.normal,
    )
    assert len(split.known_abnormal) == counts.known_trained > 0 and counts.known_tested > 0
    assert sum(len(names) for names in split.test_abnormal.values()) == counts.known_tested + counts.made


def test_every_made_defect_has_its_mask(user: Path, tmp_path: Path) -> None:
    """And where no defect is known, made ones are all there is."""
    config = _config(user)
    counts = write_image_set(open_source(config.data, config.preprocessing), config, tmp_path)
    masks, made = _read(tmp_path, "ground_truth/*/*.png"), _read(tmp_path, "test/*/*.png")
    abnormal = [name for name in made if "/made/" in name]
    assert counts.known_tested == counts.known_trained == 0 and (tmp_path / KNOWN).read_text() == ""
    assert len(abnormal) == len(masks) == counts.made > 20
    assert all(np.frombuffer(mask, np.uint8).any() for mask in masks.values())


@pytest.mark.parametrize(("train", "groups"), [(30, None), (60, "one.csv")])
def test_too_few_normal_images_or_parts_are_one_sentence(tmp_path: Path, train: int, groups: str | None) -> None:
    """It says how many are needed, how many there are, and what else to do."""
    root = tmp_path / "user"
    write_folder(root, train=train)
    names = sorted(path.name for path in (root / "train/good").iterdir())
    held = ["other" if i % 2 else "part" for i in range(len(names))]
    rows = "".join(f"train/good/{name},{part}\n" for name, part in zip(names, held, strict=True))
    (root / "one.csv").write_text(f"file,tile_group\n{rows}")
    config = _config(root, groups=groups)
    with pytest.raises(DatasetError, match=r"needs 40 normal images of 3 parts, and has \d+ of \d+; add"):
        write_image_set(open_source(config.data, config.preprocessing), config, tmp_path / "out")


def test_images_of_12_bits_are_compared_by_their_upper_eight(tmp_path: Path) -> None:
    """`choose` finds the bit depth of the user's images, and writes what a model would see of them."""
    write_folder(tmp_path / "data", train=45, good=0, defects=0)
    seen = set()
    for path in (tmp_path / "data").glob("train/good/*.png"):
        image = read_image(path)
        seen.add(image.tobytes())
        path.write_bytes(png(deepened(image, 12)))
    _images(_config(tmp_path / "data"), tmp_path / "out")
    written = set(_read(tmp_path / "out", "images/train/good/*.png").values())
    assert len(written) > 10 and written <= seen

"""Known-abnormal images may lie anywhere, and none of them is tested."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from latentline.errors import DatasetError
from tests.trainer.folder import tiny_config, write_folder
from trainer.cli import load_config
from trainer.data.folders import FolderSource
from trainer.data.settings import FolderData


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images with eight defects to test."""
    return write_folder(tmp_path / "data", train=6, good=2)


def mark(path: Path, side: int = 48) -> None:
    """An image that is white in one corner; as a mask, that is where the defect is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((side, side), np.uint8)
    image[:9, :9] = 255
    assert cv2.imwrite(str(path), image)


@pytest.mark.parametrize(
    "mask",
    ["masks/a_mask.png", "masks/a.png", "known_masks/a.png", "ground_truth/known/a_mask.png", "known/masks/a.png"],
)
def test_a_folder_of_known_abnormal_images_lies_anywhere(root: Path, tmp_path: Path, mask: str) -> None:
    """Its images train under their own path, with the mask of their stem; nothing leaves the test."""
    mark(tmp_path / "known" / "a.png")
    mark(tmp_path / mask)
    source = FolderSource(FolderData(root=root, known_abnormal=tmp_path / "known"))
    parts = source.split(0)
    (name,) = parts.known_abnormal
    assert Path(name) == tmp_path / "known" / "a.png" and len(parts.test_abnormal["square"]) == 8
    found = source.mask(name, (48, 48))
    assert source.read(name).shape == (48, 48) and found is not None and found.sum() == 81


def test_a_folder_may_have_a_folder_for_each_kind(root: Path, tmp_path: Path) -> None:
    """Their images are known abnormal, their masks are not; kinds choose among them."""
    for kind in ("crack", "dent"):
        mark(tmp_path / "known" / kind / "a.png")
    mark(tmp_path / "known" / "masks" / "crack" / "a.png")
    source = FolderSource(FolderData(root=root, known_abnormal=tmp_path / "known"))
    crack, dent = source.split(0).known_abnormal
    assert source.mask(crack, (48, 48)) is not None and source.mask(dent, (48, 48)) is None
    one = FolderData(root=root, known_abnormal=tmp_path / "known", known_abnormal_types=("dent",))
    assert FolderSource(one).split(0).known_abnormal == (dent,)


def test_a_list_names_images_beside_itself_absolutely_or_under_the_root(root: Path, tmp_path: Path) -> None:
    """Images of the test keep their names and leave it; the others have their whole path."""
    mark(tmp_path / "lists" / "b.png")
    mark(tmp_path / "far" / "c.png")
    listed = tmp_path / "lists" / "known.txt"
    listed.write_text(f"b.png\n{tmp_path / 'far' / 'c.png'}\ntest/square/002.png\n{root}/test/square/003.png\n")
    parts = FolderSource(FolderData(root=root, known_abnormal=listed)).split(0)
    known = {"test/square/002.png", "test/square/003.png", f"{tmp_path}/lists/b.png", f"{tmp_path}/far/c.png"}
    assert set(parts.known_abnormal) == known
    assert len(parts.test_abnormal["square"]) == 6 and not known & set(parts.test_abnormal["square"])


def test_a_list_may_begin_with_a_byte_order_mark(root: Path, tmp_path: Path) -> None:
    """As editors of Windows write it: its first line names an image like any other."""
    listed = tmp_path / "known.txt"
    listed.write_bytes(b"\xef\xbb\xbftest/square/002.png\r\ntest/square/003.png\r\n")
    parts = FolderSource(FolderData(root=root, known_abnormal=listed)).split(0)
    assert set(parts.known_abnormal) == {"test/square/002.png", "test/square/003.png"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_may_be_written_on_windows(root: Path, tmp_path: Path, encoding: str) -> None:
    """With backslashes, in quotes, in UTF-16."""
    listed = tmp_path / "known.txt"
    listed.write_text('"test\\square\\002.png"\n.\\test\\square\\003.png\n\n', encoding=encoding)
    parts = FolderSource(FolderData(root=root, known_abnormal=listed)).split(0)
    assert parts.known_abnormal == ("test/square/002.png", "test/square/003.png")


def test_a_copy_of_a_known_abnormal_image_is_not_tested(root: Path, tmp_path: Path) -> None:
    """Who copied defects into a folder of their own has not to take them out of the test."""
    (tmp_path / "known").mkdir()
    shutil.copy(root / "test" / "square" / "005.png", tmp_path / "known" / "first.png")
    parts = FolderSource(FolderData(root=root, known_abnormal=tmp_path / "known")).split(0)
    assert len(parts.test_abnormal["square"]) == 7 and "test/square/005.png" not in parts.test_abnormal["square"]


def test_paths_in_the_training_file_start_there_or_at_the_root(root: Path, tmp_path: Path) -> None:
    """One path may be a folder; a list mixes folders and images."""
    mark(tmp_path / "my" / "known" / "a.png")
    path = tmp_path / "my" / "config.yaml"
    for given in ("known", ["known/a.png"], ["known", "test/square/001.png"]):
        data: dict[str, Any] = {"root": "../data", "known_abnormal": given}
        path.write_text(yaml.safe_dump({**tiny_config(root), "data": data}))
        config = load_config(path, None)
        assert isinstance(config.data, FolderData)
        known = FolderSource(config.data).split(0).known_abnormal
        assert known[0] == str(tmp_path / "my" / "known" / "a.png")
        assert len(known) == (2 if "test/square/001.png" in given else 1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("nowhere", "nowhere: cannot be read .*; correct data.known_abnormal, a folder of images or a list of them"),
        ("empty", "empty: there is no known-abnormal image; name some"),
        (("typo.png", "typo2.png"), r"data.known_abnormal: 'typo.png' is not under .*data \(nor are 1 more\); correct"),
        (("x" * 5000,), "data.known_abnormal: 'x+' is not under .*data; correct it"),
        (("groups.csv",), "data.known_abnormal: 'groups.csv' is not an image; correct it"),
        (("train/good/000.png",), "data: 'train/good/000.png' is a normal image; take it out of data.known_abnormal"),
        (("ground_truth/square/000_mask.png",), "data: 'ground_truth/.*' is a mask; name the images in data.known_abn"),
    ],
)
def test_each_wrong_path_is_one_sentence(
    root: Path, tmp_path: Path, given: str | tuple[str, ...], sentence: str
) -> None:
    """It says what is wrong, where, and what to correct."""
    (tmp_path / "empty").mkdir()
    (root / "groups.csv").write_text("file,tile_group\n")
    place = tmp_path / given if isinstance(given, str) else tuple(map(Path, given))
    with pytest.raises(DatasetError, match=sentence):
        FolderSource(FolderData(root=root, known_abnormal=place)).split(0)

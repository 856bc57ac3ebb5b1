"""Folders are read strictly: nothing is lost without a word, and no part stands on two sides."""

import csv
import logging
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentline.errors import DatasetError
from tests.trainer.folder import write_folder
from trainer.data.folders import FolderSource
from trainer.data.image_folder import ImageFolder
from trainer.data.mask_counts import MaskFiles
from trainer.data.settings import FolderData
from trainer.data.split import Split, split_known_abnormal, take


def write_group_table(root: Path, each: int) -> dict[str, str]:
    """Every `each` images of a folder are one part."""
    names = sorted(p.relative_to(root).as_posix() for p in root.glob("t*/*/*.png"))
    groups = {name: f"{Path(name).parent}-{int(Path(name).stem) // each}" for name in names}
    with (root / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "tile_group"], *groups.items()])
    return groups


@pytest.mark.parametrize("make", [lambda p: None, lambda p: (p / "train" / "good").mkdir(parents=True)])
def test_a_missing_or_empty_dataset_is_one_sentence(tmp_path: Path, make: object) -> None:
    """The sentence names the folder and what belongs there."""
    root = tmp_path / "data"
    make(root)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=r"data: .*(no such folder|no images in train/good)"):
        FolderSource(FolderData(root=root))


@pytest.mark.parametrize("given", [".", "labels/train", "labels/train/good"], ids=["above", "train", "good"])
def test_a_root_one_folder_off_is_told_the_right_one(tmp_path: Path, given: str) -> None:
    """Whoever gives a folder too high or too low reads which one has the images."""
    root = write_folder(tmp_path / "labels", train=1, good=0, defects=0)
    with pytest.raises(DatasetError, match=rf"no images in train/good; give {root}, which has this folder"):
        FolderSource(FolderData(root=tmp_path / given))


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    """A mask that does not fit its image would make the pixel figures wrong without a word."""
    root = write_folder(tmp_path)
    cv2.imwrite(str(root / "ground_truth" / "square" / "000_mask.png"), np.zeros((10, 20), np.uint8))
    with pytest.raises(DatasetError, match="20 x 10 px, its image 48 x 48"):
        ImageFolder.scan(root).mask("test/square/000.png", (48, 48))


def test_masks_without_an_image_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stray mask, which hints at a lost or renamed image, costs one warning that names it, and nothing else."""
    root = write_folder(tmp_path, defects=3)
    assert ImageFolder.scan(root).masks.files == MaskFiles(3, 3, None)
    assert not caplog.messages
    (root / "test" / "square" / "001.png").unlink()
    folder = ImageFolder.scan(root)
    assert len(folder.test_abnormal["square"]) == 2
    assert folder.masks.files == MaskFiles(3, 2, "ground_truth/square/001_mask.png")
    (message,) = caplog.messages
    assert "1 mask" in message and "001_mask.png" in message


@given(st.integers(0, 50), st.floats(0.1, 0.6), st.floats(0, 0.6))
def test_no_group_stands_on_two_sides(
    tmp_path_factory: pytest.TempPathFactory, seed: int, held_out: float, known: float
) -> None:
    """Exposures of one part are all trained on, all held out, or all tested on; and every image is somewhere."""
    root = tmp_path_factory.getbasetemp() / "grouped"
    if not root.exists():
        write_folder(root, train=30, defects=24)
        write_group_table(root, each=3)
    source = FolderSource(
        FolderData(root=root, groups="groups.csv", held_out_fraction=held_out, known_abnormal_fraction=known),
    )
    parts, group = source.split(seed), source.groups()
    sides = [parts.train, parts.held_out, parts.known_abnormal, parts.validation_abnormal, parts.test_good]
    sides += [parts.test_abnormal["square"]]
    groups = [{group[name] for name in side} for side in sides]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert set(group) == set().union(*sides) and len(group) == sum(map(len, sides))
    assert parts.train and parts.held_out
    assert Split.from_json(parts.to_json()) == parts


@given(st.integers(0, 40), st.floats(0, 1), st.integers(1, 5), st.integers(0, 9))
def test_a_share_is_as_large_as_asked(count: int, fraction: float, each: int, seed: int) -> None:
    """At least the fraction (and one) by whole groups, no group more than needed, but never the last group."""
    names = [f"{i:02}" for i in range(count)]
    groups = {name: str(int(name) // each) for name in names}
    taken, rest = take(names, fraction, groups, np.random.default_rng(seed))
    assert sorted(taken + rest) == names
    taken_groups = {groups[n] for n in taken}
    assert not taken_groups & {groups[n] for n in rest}
    wanted = max(1, round(fraction * count))
    assert len(taken) < wanted + each
    left = len({groups[n] for n in rest})
    assert len(taken) >= wanted or left <= 1
    assert left >= 1 or not names


@pytest.mark.parametrize(("count", "validation"), [(0, 0), (6, 0), (14, 0), (15, 5), (33, 11), (3000, 200)])
def test_a_third_of_the_known_abnormal_images_weights_the_score(count: int, validation: int) -> None:
    """None of fewer than fifteen parts, a third of more, never more than 200."""
    names = [f"{i:04}" for i in range(count)]
    trained, kept = split_known_abnormal(names, {}, np.random.default_rng(0))
    assert len(kept) == validation and sorted(trained + kept) == names
    pairs = {name: str(int(name) // 2) for name in names}
    assert bool(split_known_abnormal(names, pairs, np.random.default_rng(0))[1]) == (count >= 2 * 15)


def test_a_contaminated_run_tests_on_the_same_images(tmp_path: Path) -> None:
    """The images that would be known abnormal train as normal ones; held-out and test images do not change."""
    root = write_folder(tmp_path, train=60, defects=40)
    groups = write_group_table(root, each=2)
    settings: dict[str, Any] = {"root": root, "groups": "groups.csv", "known_abnormal_fraction": 0.5}
    clean = FolderSource(FolderData(**settings)).split(3)
    dirty = FolderSource(FolderData(**settings, contamination=0.1)).split(3)
    added = set(dirty.train) - set(clean.train)
    assert set(dirty.train) >= set(clean.train)
    assert 2 <= len(added) <= round(0.1 * len(clean.train)) and added <= set(clean.known_abnormal)
    assert not {groups[n] for n in added} & {groups[n] for n in set(clean.known_abnormal) - added}
    assert dirty.known_abnormal == dirty.validation_abnormal == ()
    assert (dirty.held_out, dirty.test_good, dirty.test_abnormal) == (
        clean.held_out,
        clean.test_good,
        clean.test_abnormal,
    )


def test_too_few_images_to_contaminate_with_is_an_error(tmp_path: Path) -> None:
    """An experiment at 40 % must not run at 10 % without a word."""
    root = write_folder(tmp_path, train=39, defects=8)
    with pytest.raises(DatasetError, match=r"40\.0% of 29 training images are 12 .* holds 4; choose more"):
        FolderSource(FolderData(root=root, known_abnormal_fraction=0.5, contamination=0.4)).split(0)


def test_known_abnormal_images_show_the_types_asked_for(tmp_path: Path) -> None:
    """Other types stay unseen and are all tested; the choice within a type does not depend on the others."""
    root = write_folder(tmp_path)
    (root / "test" / "square").rename(root / "test" / "crack")
    write_folder(root)
    every = FolderSource(FolderData(root=root, known_abnormal_fraction=0.5)).split(1)
    one = FolderSource(FolderData(root=root, known_abnormal_fraction=0.5, known_abnormal_types=("square",))).split(1)
    assert len(one.test_abnormal["crack"]) == 8 and len(one.test_abnormal["square"]) == 4
    assert one.test_abnormal["square"] == every.test_abnormal["square"]
    with pytest.raises(DatasetError, match="'dent'"):
        FolderSource(FolderData(root=root, known_abnormal_types=("dent",))).split(1)


def test_a_type_with_one_image_stays_in_the_test(tmp_path: Path) -> None:
    """A single image cannot be known and tested: it is tested."""
    root = write_folder(tmp_path)
    (root / "test" / "dent").mkdir()
    (root / "test" / "square" / "000.png").rename(root / "test" / "dent" / "000.png")
    parts = FolderSource(FolderData(root=root, known_abnormal_fraction=0.9)).split(0)
    assert parts.test_abnormal["dent"] == ("test/dent/000.png",)
    assert len(parts.test_abnormal["square"]) == 1


def test_a_single_normal_image_is_too_few(tmp_path: Path) -> None:
    """With one normal image, or many of one part, there is none to hold out, and the sentence says so."""
    root = write_folder(tmp_path / "one", train=1)
    with pytest.raises(DatasetError, match="1 normal image of a single part: too few"):
        FolderSource(FolderData(root=root)).split(0)


def test_known_abnormal_images_come_from_a_list(tmp_path: Path) -> None:
    """Listed images leave the test set; names that are not there are an error that names one and counts the rest."""
    root = write_folder(tmp_path / "data")
    listed = tmp_path / "known.txt"
    listed.write_text("# chosen by hand\ntest/square/002.png\n")
    source = FolderSource(FolderData(root=root, known_abnormal=listed))
    parts = source.split(0)
    assert parts.known_abnormal == ("test/square/002.png",)
    assert "test/square/002.png" not in parts.test_abnormal["square"]
    listed.write_text("test/square/typo.png\ntest/square/001.png\ntest/square/typo2.png\n")
    with pytest.raises(DatasetError, match=r"test/square/typo\.png.*1 more"):
        source.split(0)
    listed.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"known\.txt: cannot be read"):
        source.split(0)


def test_a_list_of_a_whole_type_leaves_no_empty_kind(tmp_path: Path) -> None:
    """When every image of a type is known abnormal, the test has no such kind."""
    root = write_folder(tmp_path / "data")
    listed = tmp_path / "known.txt"
    listed.write_text("".join(f"test/square/{i:03}.png\n" for i in range(8)))
    parts = FolderSource(FolderData(root=root, known_abnormal=listed)).split(0)
    assert parts.test_abnormal == {} and len(parts.known_abnormal + parts.validation_abnormal) == 8


@pytest.mark.parametrize(("count", "held_out"), [(30, 8), (39, 10), (40, 30), (60, 30), (100, 30), (160, 40)])
def test_at_least_what_a_calibration_needs_is_held_out(count: int, held_out: int, tmp_path: Path) -> None:
    """A quarter is, or thirty images where ten are left to train."""
    root = write_folder(tmp_path, train=count, good=1, defects=1, side=8 + 4)
    assert len(FolderSource(FolderData(root=root)).split(0).held_out) == held_out


def test_own_validation_images_are_the_held_out_ones(tmp_path: Path) -> None:
    """Where the folder brings validation/good, all of train/good trains."""
    root = write_folder(tmp_path)
    (root / "validation" / "good").mkdir(parents=True)
    (root / "train" / "good" / "000.png").rename(root / "validation" / "good" / "000.png")
    parts = FolderSource(FolderData(root=root)).split(0)
    assert parts.held_out == ("validation/good/000.png",) and len(parts.train) == 23


@pytest.mark.parametrize("limit", [0, 1, 5, 7, 40])
def test_a_limit_of_known_abnormal_images_draws_whole_parts(tmp_path: Path, limit: int) -> None:
    """As many as asked for are used, part by part, the fewer among the more; test and normal images stay the same."""
    groups = write_group_table(write_folder(tmp_path, defects=40), each=3)
    data = FolderData(root=tmp_path, groups="groups.csv", known_abnormal_fraction=0.4)
    whole, fewer = (FolderSource(d).split(3) for d in (data, data.model_copy(update={"known_abnormal_limit": limit})))
    known = {*whole.known_abnormal, *whole.validation_abnormal}
    shown = {*fewer.known_abnormal, *fewer.validation_abnormal}
    assert shown <= known and len(shown) == min(limit, len(known))
    cut = {groups[n] for n in shown} & {groups[n] for n in known - shown}
    assert len(cut) <= 1  # of the last part perhaps only some
    assert (fewer.train, fewer.held_out, fewer.test_good) == (whole.train, whole.held_out, whole.test_good)
    assert fewer.test_abnormal == whole.test_abnormal
    more = FolderSource(data.model_copy(update={"known_abnormal_limit": limit + 1})).split(3)
    assert shown <= {*more.known_abnormal, *more.validation_abnormal}
    assert data.model_copy(update={"known_abnormal_limit": limit}).has_known_abnormal == (limit > 0)


def test_a_split_by_images_ignores_parts(tmp_path: Path) -> None:
    """Every image is still on one side, and as many are tested, but parts and folders are mixed; groups stay known."""
    groups = write_group_table(write_folder(tmp_path, train=60, good=20, defects=30), each=5)
    data = FolderData(root=tmp_path, groups="groups.csv", known_abnormal_fraction=0.3)
    source = FolderSource(data.model_copy(update={"split_by": "image"}))
    split, parts = source.split(1), FolderSource(data).split(1)
    sides = [split.train, split.held_out, split.known_abnormal, split.validation_abnormal, split.test_good]
    sides += [*split.test_abnormal.values()]
    assert sum(map(len, sides)) == len({name for side in sides for name in side}) == 60 + 20 + 30
    assert len(split.test_good) == len(parts.test_good) == 20
    assert {name.split("/")[0] for name in split.test_good} == {"train", "test"}
    assert {groups[n] for n in split.train} & {groups[n] for n in split.test_good}
    assert source.split(1) == split != source.split(2) and source.groups() == groups


def test_groups_come_from_a_table(tmp_path: Path) -> None:
    """The CSV names file and group; a table without these columns is refused."""
    root = write_folder(tmp_path)
    groups = write_group_table(root, each=2)
    source = FolderSource(FolderData(root=root, groups="groups.csv"))
    assert source.groups() == groups
    (root / "groups.csv").write_text("name\nx\n")
    with pytest.raises(DatasetError, match="columns file and tile_group"):
        FolderSource(FolderData(root=root, groups="groups.csv")).groups()


def test_normal_images_are_normal_under_every_name(tmp_path: Path) -> None:
    """`Good`, `OK` and `normal` are normal images of training, validation and test, and no kind of defect."""
    root = write_folder(tmp_path, train=4, good=3, defects=2)
    (root / "train" / "good").rename(root / "train" / "OK")
    (root / "test" / "good").rename(root / "test" / "Good")
    for name, index in {"test/NORMAL": 0, "test/ok": 1, "validation/Normal": 2}.items():
        (root / name).mkdir(parents=True)
        (root / "train" / "OK" / f"{index:03}.png").rename(root / name / "x.png")
    folder = ImageFolder.scan(root)
    assert folder.train_good == ("train/OK/003.png",) and folder.validation_good == ("validation/Normal/x.png",)
    assert folder.test_good == (*(f"test/Good/{i:03}.png" for i in range(3)), "test/NORMAL/x.png", "test/ok/x.png")
    assert set(folder.test_abnormal) == {"square"}


@pytest.mark.parametrize(
    "name", [".thumbnails", ".cache", "@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "Thumbs", "lost+found"]
)
def test_leftovers_of_systems_are_no_defects(tmp_path: Path, name: str) -> None:
    """What a NAS, macOS or a viewer of pictures leaves beside the images changes nothing, in test and in known ones."""
    root = write_folder(tmp_path / "data", train=4, good=1, defects=2)
    before = ImageFolder.scan(root)
    masks = before.masks.files
    for place in (root / "test", root / "test" / "square", root / "train" / "good", root / "ground_truth" / "square"):
        shutil.copytree(root / "test" / "square", place / name, dirs_exist_ok=True, ignore=lambda *_: [name])
        (place / "Thumbs.db").write_bytes(b"x")
        (place / "._000.png").write_bytes(b"x")
    after = ImageFolder.scan(root)
    assert after == before and after.masks.files == masks
    known = FolderSource(FolderData(root=root, known_abnormal=root / "test" / "square")).split(0).known_abnormal
    assert known == ("test/square/000.png", "test/square/001.png")


def test_images_that_are_not_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Images one folder too deep cost a warning, as do two of one name, of which one may be the other's mask, and files
    of a kind that nobody reads."""
    root = write_folder(tmp_path, train=4, good=1, defects=2)
    (root / "test" / "square" / "monday").mkdir()
    shutil.copy(root / "test" / "square" / "000.png", root / "test" / "square" / "monday" / "000.png")
    shutil.copy(root / "test" / "square" / "000.png", root / "test" / "square" / "000.bmp")
    for name in ("002.GIF", ".003.gif", "Thumbs.db"):
        (root / "test" / "square" / name).touch()
    assert ImageFolder.scan(root).test_abnormal["square"] == tuple(
        f"test/square/{n}" for n in ("000.bmp", "000.png", "001.png")
    )
    deep, unread, twice = caplog.messages
    assert unread.endswith("square: 1 file is of a kind that is not read, such as 002.GIF; save as png")
    assert deep.endswith("square: images in 1 folder inside are not read, such as those in monday; move them up")
    assert "2 images have the name of another up to its suffix, such as 000.bmp and 000.png, and all count" in twice


def test_a_table_keeps_parts_together_however_it_names_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With backslashes, from Excel: the split is that of a plain table, and the count is said once."""
    root = write_folder(tmp_path / "data", train=30, good=6, defects=6)
    write_group_table(root, each=3)
    plain = FolderSource(FolderData(root=root, groups="groups.csv")).split(1)
    text = (root / "groups.csv").read_text().replace("/", "\\").replace(",", ";")
    (root / "excel.csv").write_bytes(("\ufeff" + text).encode())
    caplog.set_level(logging.INFO)
    source = FolderSource(FolderData(root=root, groups="excel.csv"))
    assert source.split(1) == plain and source.groups()
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "42 of 42 rows match, and give 42 of 42 images a group, 14 groups in all"
    ]
    (root / "typo.csv").write_text(text.replace("good", "god"))
    with pytest.raises(
        DatasetError, match=r"typo\.csv: 36 of 42 rows match no image .* in line 2; write paths relative"
    ):
        FolderSource(FolderData(root=root, groups="typo.csv")).split(1)


def test_a_table_may_name_known_abnormal_images_elsewhere(tmp_path: Path) -> None:
    """Their parts are parts as any other."""
    root = write_folder(tmp_path / "data", train=4, good=1, defects=2)
    (tmp_path / "known").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(root / "train" / "good" / "000.png", tmp_path / "known" / name)
    (root / "groups.csv").write_text(f"file,tile_group\n{tmp_path}/known/a.png,p\nknown/b.png,p\n")
    source = FolderSource(FolderData(root=root, groups="groups.csv", known_abnormal=tmp_path / "known"))
    assert source.groups() == {f"{tmp_path}/known/{name}": "p" for name in ("a.png", "b.png")}


def test_an_evaluation_needs_no_list_of_known_abnormal_images(tmp_path: Path) -> None:
    """Its split is that of the training: groups and masks are read though the list is gone."""
    root = write_folder(tmp_path, train=4, good=1, defects=2)
    groups = write_group_table(root, each=1)
    source = FolderSource(FolderData(root=root, groups="groups.csv", known_abnormal=tmp_path / "gone.txt"))
    assert source.groups() == groups and source.mask_files == MaskFiles(2, 2, None)
    with pytest.raises(DatasetError, match=r"gone\.txt: cannot be read"):
        source.split(0)

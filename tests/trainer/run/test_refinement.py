"""`fit --from RUN --add LABELS`: a trained model goes on learning with labelled images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from latentline.errors import CheckpointError, ConfigError, DatasetError
from latentline.vision.content import pixel_hash
from latentline.vision.images import read_image
from tests.trainer.runs import write_config
from trainer.checkpoint import load_checkpoint, read_state
from trainer.cli import load_config, main
from trainer.data.added import AddedImages, read_added, with_added
from trainer.data.crops import to_tensor
from trainer.data.folders import FolderSource
from trainer.data.settings import FolderData
from trainer.data.split import Split
from trainer.run.fit import fit
from trainer.run.labelled import labelled_shares
from trainer.run.refinement import start_refinement
from trainer.run.training_data import load_training_data

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with encoder and fine-tuned discriminator."""
    folder = tmp_path_factory.mktemp("trained")
    path = write_config(
        folder, fade_images=1, stable_images=0, final_images=8, encoder_images=8, discriminator_images=16
    )
    return fit(load_config(path, None), folder / "run").parent


def labels(folder: Path, good: int = 0, random: int = 0, defects: int = 0, start: int = 0) -> Path:
    """An export of labels: difficult good images, good ones that were kept by chance, and defects with masks.

    Each image is a minute of its own; the difficult ones have a box where the station saw a defect.
    """
    images: list[dict[str, Any]] = []

    def write(name: str, number: int, **about: Any) -> None:
        image = np.random.default_rng(start + number).integers(60, 160, (48, 48), np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), image)
        images.append({"file": name, "group": f"minute {start + number}", **about})

    for number in range(good):
        write(f"train/good/{start + number}.png", number, why="abnormal", boxes=[[2, 3, 10, 12]])
    for number in range(good, good + random):
        write(f"train/good/{start + number}.png", number, why="normal", boxes=[])
    for number in range(1000, 1000 + defects):
        write(f"test/scratch/{start + number}.png", number, why="near_threshold", boxes=[])
        mask = np.zeros((48, 48), np.uint8)
        mask[10:20, 10:20] = 255
        (folder / "ground_truth" / "scratch").mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / "ground_truth" / "scratch" / f"{start + number}_mask.png"), mask)
    rows = "".join(f"{image['file']},{image['group']}\n" for image in images)
    (folder / "groups.csv").write_text("file,tile_group\n" + rows)
    (folder / "provenance.json").write_text(json.dumps({"images": images}))
    return folder


def test_only_the_discriminator_changes_and_the_run_says_what_it_learnt_from(tmp_path: Path, trained: Path) -> None:
    """Generator and encoder stay to the bit; state.json has the hashes of all images that ever trained."""
    added = labels(tmp_path / "labels", good=2, random=8, defects=3)
    arguments = ["fit", "--from", str(trained), "--add", str(added), str(tmp_path / "new"), "--images", "24"]
    assert main([*arguments, "--device", "cpu"]) == 0
    old, new = load_checkpoint(trained), load_checkpoint(tmp_path / "new")
    for name in ("generator", "encoder"):
        before, after = (getattr(checkpoint, name).state_dict() for checkpoint in (old, new))
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert old.discriminator is not None and new.discriminator is not None
    changed = zip(old.discriminator.state_dict().values(), new.discriminator.state_dict().values(), strict=True)
    assert not all(torch.equal(before, after) for before, after in changed)
    assert set(old.split.held_out) <= set(new.split.held_out)
    assert set(new.split.train) >= {str(added / f"train/good/{number}.png") for number in (0, 1)}
    held = [name for name in new.split.held_out if name.startswith(str(added))]
    assert held and all(int(Path(name).stem) >= 2 for name in held)
    trained_on = read_state(tmp_path / "new" / "checkpoint")["trained_on"]
    assert set(read_state(trained / "checkpoint")["trained_on"]["train"]) <= set(trained_on["train"])
    assert pixel_hash(read_image(added / "train/good/0.png")) in trained_on["train"]
    assert pixel_hash(read_image(added / "test/scratch/1000.png")) in trained_on["known_abnormal"]
    assert not {pixel_hash(read_image(Path(name))) for name in held} & set(trained_on["train"])


def test_an_interrupted_refinement_goes_on(tmp_path: Path, trained: Path) -> None:
    """A run that was stopped continues with --resume, and ends as one without a stop."""
    added = labels(tmp_path / "labels", good=2, defects=3)
    config = start_refinement(trained, [added], tmp_path / "whole", 32)
    fit(config, tmp_path / "whole", resume=True, device="cpu")
    config = start_refinement(trained, [added], tmp_path / "parts", 32)
    fit(config, tmp_path / "parts", resume=True, stop_after=40, device="cpu")
    again = ["fit", "--from", str(trained), "--add", str(added), str(tmp_path / "parts"), "--resume"]
    assert main([*again, "--device", "cpu"]) == 0
    networks = [(tmp_path / name / "checkpoint" / "networks.safetensors").read_bytes() for name in ("whole", "parts")]
    assert networks[0] == networks[1]


def test_what_has_trained_never_calibrates_in_the_next_round(tmp_path: Path, trained: Path) -> None:
    """A second round with all labels of the first and new ones keeps each image on its side."""
    first = labels(tmp_path / "first", good=2, random=8, defects=2)
    config = start_refinement(trained, [first], tmp_path / "one", 8)
    fit(config, tmp_path / "one", resume=True, device="cpu")
    one = load_checkpoint(tmp_path / "one").split
    second = labels(tmp_path / "second", good=2, random=16, defects=4)  # the first ten and two are those of `first`
    start_refinement(tmp_path / "one", [second], tmp_path / "two", 8)
    two = Split.from_json(read_state(tmp_path / "two" / "checkpoint")["split"])
    assert set(one.train) <= set(two.train) and set(one.held_out) <= set(two.held_out)
    contents = [pixel_hash(read_image(Path(trained.parent / "data" / name))) for name in (*two.train, *two.held_out)]
    assert len(contents) == len(set(contents))


def test_a_label_of_the_other_kind_moves_an_image(tmp_path: Path) -> None:
    """A held-out image labelled as a defect calibrates no more; a test image that is labelled good trains."""
    added = labels(tmp_path / "labels", random=2, defects=1)
    root = tmp_path / "data"
    for name, twin in (
        ("train/good/a.png", "test/scratch/1000.png"),
        ("train/good/b.png", None),
        ("test/scratch/c.png", "train/good/0.png"),
        ("test/scratch/d.png", None),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if twin is None:
            assert cv2.imwrite(str(root / name), np.full((48, 48), len(name) + ord(name[-5]), np.uint8))
        else:
            shutil.copy(added / twin, root / name)
    source = FolderSource(FolderData(root=root, added=(added,)))
    before = Split(("train/good/b.png",), ("train/good/a.png",), (), (), (), {"scratch": ("test/scratch/c.png",)})
    after = with_added(before, read_added(added), source, 0.5, 0)
    good, defect = str(added / "train/good/0.png"), str(added / "test/scratch/1000.png")
    assert "train/good/a.png" not in after.held_out
    assert after.known_abnormal == (defect,)
    assert good in after.train and after.test_abnormal == {}


def test_each_labelled_image_has_its_share_of_the_tiles(tmp_path: Path, trained: Path) -> None:
    """A difficult image is in 2 % of the normal tiles at least, however many others there are, around its boxes."""
    added = labels(tmp_path / "labels", good=1, defects=1)
    config = start_refinement(trained, [added], tmp_path / "new", 8)
    data = load_training_data(config)
    bright = read_image(added / "train/good/0.png")
    tiles = data.normal.tiles(2000, np.random.default_rng(0))[..., 0]
    places = [np.unravel_index(i, (17, 17)) for i in range(17 * 17)]
    corner = {bright[y : y + 32, x : x + 32].tobytes(): (y, x) for y, x in places}
    found = [corner[tile.tobytes()] for tile in tiles if tile.tobytes() in corner]
    assert len(found) > 0.02 * 2000
    assert labelled_shares(list("abc"), {"b"}, 0.25) == {1: 0.02}
    assert sum(labelled_shares([str(i) for i in range(50)], {str(i) for i in range(50)}, 0.25).values()) < 0.2501


def test_labelled_defects_are_shown_to_a_model_that_knew_none(tmp_path: Path, trained: Path) -> None:
    """After a training on made defects alone, tiles of labelled defects join them; with good pictures alone none do."""
    old = tmp_path / "old"
    shutil.copytree(trained, old)
    path = old / "checkpoint" / "config.yaml"
    content = yaml.safe_load(path.read_text())
    content["method"] |= {"synthetic_fraction": 1.0, "pasted_fraction": 0.0}
    content["data"] |= {"known_abnormal_fraction": 0.0}
    path.write_text(yaml.safe_dump(content))
    defects = labels(tmp_path / "defects", defects=2)
    data = load_training_data(start_refinement(old, [defects], tmp_path / "new", 8))
    assert data.abnormal is not None
    drawn = data.abnormal.draw_with_masks(40, np.random.default_rng(0))[0]
    pictures = [read_image(defects / f"test/scratch/{number}.png") for number in (1000, 1001)]
    tiles = [p[None, y : y + 32, x : x + 32, None] for p in pictures for y in range(17) for x in range(17)]
    known = {to_tensor(tile).numpy().tobytes() for tile in tiles}
    assert sum(tile.numpy().tobytes() in known for tile in drawn) == 20
    good = labels(tmp_path / "good", good=2)
    assert start_refinement(old, [good], tmp_path / "good-only", 8).method.model_dump()["synthetic_fraction"] == 1.0


@pytest.mark.parametrize(
    "change, error, sentence",
    [
        ("method", ConfigError, "cannot learn from labels"),
        ("unfinished", CheckpointError, "not finished"),
        ("labels", DatasetError, "no images in"),
        ("images", DatasetError, "put them back"),
        ("taken", ConfigError, "holds a training"),
    ],
)
def test_mistakes_get_a_sentence(
    tmp_path: Path, trained: Path, change: str, error: type[Exception], sentence: str
) -> None:
    """A run that cannot go on, no labels, images that changed, and a folder that is taken are each one sentence."""
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(trained, old)
    added = labels(tmp_path / "labels", good=2, defects=2)
    config = old / "checkpoint" / "config.yaml"
    if change == "method":
        content = yaml.safe_load(config.read_text())
        content["method"] = {"kind": "anogan"}
        content["schedule"]["discriminator_images"] = 0
        config.write_text(yaml.safe_dump(content))
    elif change == "unfinished":
        config.write_text(config.read_text().replace("final_images: 8", "final_images: 800"))
    elif change == "labels":
        shutil.rmtree(added)
        added.mkdir()
    elif change == "images":
        state = json.loads((old / "checkpoint" / "state.json").read_text())
        state["split"]["train"] += state["split"]["held_out"][:1]
        (old / "checkpoint" / "state.json").write_text(json.dumps(state))
    else:
        (new / "checkpoint").mkdir(parents=True)
    with pytest.raises(error, match=sentence) as raised:
        start_refinement(old, [added], new, 8)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "arguments", [["run"], ["--from", "old", "new"], ["c.yaml", "run", "--from", "a", "--add", "b"]]
)
def test_the_command_line_says_what_goes_together(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a run without a configuration, nor --from without --add, nor both ways at once."""
    assert main(["fit", *arguments]) == 2
    assert "--from" in capsys.readouterr().err


def test_a_folder_that_a_person_made_is_read(tmp_path: Path) -> None:
    """Without tables all good images are taken for difficult ones, each a group of its own."""
    folder = labels(tmp_path / "labels", random=2)
    (folder / "provenance.json").unlink()
    (folder / "groups.csv").unlink()
    names = tuple(str(folder / f"train/good/{number}.png") for number in (0, 1))
    assert read_added(folder) == AddedImages(good=names)

"""`latentline-export compare`: two packages over a folder with labels, from the command line to the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from export.cli import main
from export.trained_images import trained_images
from latentline.model import open_model
from latentline.vision.content import pixel_hash, short_hash
from latentline.vision.images import read_image
from latentline.vision.preprocessing import Preprocessing
from tests.checkpoints import random_checkpoint
from tests.latentline.rescoring.pictures import write_pictures
from tests.packages import edit_manifest, write_tiny_package
from tests.trainer.folder import write_folder
from trainer.data.settings import FolderData
from trainer.data.sources import open_source

pytest.importorskip("pyarrow", reason="PYARROW IS MISSING: no comparison was tested; install the extra `rescore`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_pictures(folder / "test" / "good", 6)
    write_pictures(folder / "test" / "hole", 6, seed=1)
    return folder


@pytest.fixture(scope="module")
def packages(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same networks with two thresholds: the old one calls nothing abnormal; the new one about half.

    The new one says that it was trained on the first good picture.
    """
    old, new = (write_tiny_package(tmp_path_factory.mktemp("models") / name) for name in ("old", "new"))
    trained = short_hash(read_image(folder / "test" / "good" / "000.png"))
    with open_model(new, "openvino", threads=1) as model:
        scores = sorted(model.inspect(read_image(path)).score for path in folder.rglob("*.png"))
    edit_manifest(old, lambda manifest: manifest["calibration"].update(threshold=scores[-1] + 1))
    edit_manifest(
        new,
        lambda manifest: (
            manifest["calibration"].update(threshold=scores[5]),
            manifest.update(trained_images=[trained]),
        ),
    )
    return old, new


def test_the_report_says_what_both_models_say_of_the_pictures(
    folder: Path, packages: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts are those of inspections; what changed is drawn; the recommendation follows the rule."""
    out = tmp_path / "comparison"
    assert (
        main(["compare", *map(str, packages), "--archive", str(folder), "--out", str(out), "--workers", "1", "--json"])
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((out / "comparison.json").read_text())
    counted = [said[group][label]["new"] for group in ("fresh", "trained_on") for label in ("good", "defects")]
    assert sum(counted) == 6  # six of twelve are above the sixth score
    assert said["trained_on"]["good"]["pictures"] == said["new"]["trained_on"] == 1
    assert said["old"]["trained_on"] is None
    assert said["recommendation"]["choice"] == "keep"
    assert len(said["changed"]) == len(list((out / "pictures").iterdir())) == 6
    sheet = cv2.imread(str(out / "changes.png"))
    assert sheet is not None and sheet.shape[1] == 1200
    page = (out / "report.html").read_text()
    assert all(f'src="pictures/{number:03d}.jpg"' in page for number in range(1, 7))


def test_a_package_is_not_compared_with_itself(
    folder: Path, packages: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake on the command line is a sentence before anything is scored; another threshold makes another model."""
    old = str(packages[0])
    assert main(["compare", old, old, "--archive", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "the same model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_package_records_all_images_behind_it_and_no_test_image(tmp_path: Path) -> None:
    """What trains, calibrates or is known abnormal can be recognised by its pixels; the test set is not in the list."""
    data = FolderData(root=write_folder(tmp_path, train=6, good=2, defects=4), known_abnormal_fraction=0.5)
    source = open_source(data, Preprocessing())
    split = source.split(0)
    behind = {*split.train, *split.held_out, *split.known_abnormal, *split.validation_abnormal}
    checkpoint = replace(random_checkpoint("noisy_anogan"), split=split)
    recorded = trained_images(source, checkpoint)
    assert recorded == tuple(sorted(short_hash(source.read(name)) for name in behind))
    assert short_hash(source.read(split.test_good[0])) not in recorded
    trained = {pixel_hash(source.read(name)) for name in (*split.train, *split.known_abnormal)}
    earlier = replace(checkpoint, trained_on=frozenset({*trained, "ab" * 32}))  # also of the run that it continues
    assert trained_images(source, earlier) == tuple(sorted({*recorded, "ab" * 8}))

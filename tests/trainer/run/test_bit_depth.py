"""A set of 12 bits in 16-bit files is trained, evaluated and exported as its twin of 8 bits."""

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from latentline.errors import DatasetError
from latentline.package.model_package import load_package
from tests.deep_pictures import deepened, png, write
from tests.trainer.folder import write_folder
from trainer.checkpoint import load_checkpoint
from trainer.cli import load_config
from trainer.evaluation.evaluate_checkpoint import evaluate_checkpoint
from trainer.run.fit import fit

pytestmark = pytest.mark.usefixtures("undrawn")


def twin(root: Path, bits: int) -> Path:
    """The small folder with images of so many bits in files of 16, whose upper eight are those of the folder."""
    for path in (*root.glob("train/*/*.png"), *root.glob("test/*/*.png")):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        write(path, png(deepened(image, bits, int(path.stem))))
    return root


def config_of(root: Path, **changes: Any) -> Path:
    """Method pca, which trains in a moment."""
    content = {
        "method": {"kind": "pca"},
        "data": {"root": str(root), "held_out_fraction": 0.5},
        "network": {"resolution": 32, "latent_size": 8},
        "search": {"iterations": 0, "map": "residual"},
        **changes,
    }
    path = root.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Finished runs on the same images with 8 and 12 bits."""
    folder, made = tmp_path_factory.mktemp("depths"), {}
    for bits in (8, 12):
        root = write_folder(folder / f"set{bits}")
        root = root if bits == 8 else twin(root, bits)
        made[bits] = folder / f"run{bits}"
        fit(load_config(config_of(root), None), made[bits])
    return made


def test_scores_are_those_of_the_twin(runs: dict[int, Path]) -> None:
    """The depth is found and recorded, and every test image has the score that it has with eight bits."""
    assert load_checkpoint(runs[12]).config.preprocessing.bit_depth == 12
    reports = [evaluate_checkpoint(runs[depth], false_alarm_rate=0.2) for depth in (8, 12)]
    assert reports[0].image_auroc == reports[1].image_auroc and reports[0].pixel_auroc == reports[1].pixel_auroc
    scores = [json.loads((runs[depth] / "evaluation" / "scores.json").read_text()) for depth in (8, 12)]
    assert scores[0] == scores[1]


def test_the_package_knows_the_depth(runs: dict[int, Path], tmp_path: Path) -> None:
    """The package of a run has its depth, and gives an image of 12 bits the score of its twin; one of 16 is refused."""
    from export.from_checkpoint import package_checkpoint
    from latentline.errors import ImageError
    from latentline.model import open_model

    package_checkpoint(runs[12], tmp_path / "model.zip", false_alarm_rate=0.2, threads=1)
    assert load_package(tmp_path / "model.zip").manifest.preprocessing.bit_depth == 12
    path = runs[8].parent / "set8" / "test" / "square" / "000.png"
    eight = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert eight is not None
    with open_model(tmp_path / "model.zip", "openvino", threads=1) as model:
        assert model.inspect(deepened(eight, 12)).score == model.inspect(eight).score
        with pytest.raises(ImageError, match="needs 16 bits, and bit_depth is 12"):
            model.inspect(deepened(eight, 16))


def test_a_resume_and_an_older_run_keep_their_depth(
    runs: dict[int, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A resume takes the depth of the checkpoint, and one older than the setting stays at the upper eight bits."""
    root = runs[12].parent / "set12"
    with caplog.at_level(logging.INFO):
        fit(load_config(config_of(root), None), runs[12], resume=True)
    assert "bit_depth" not in caplog.text
    config = runs[12] / "checkpoint" / "config.yaml"
    before = config.read_text()
    content = yaml.safe_load(before)
    del content["preprocessing"]["bit_depth"]
    config.write_text(yaml.safe_dump(content))
    try:
        fit(load_config(config_of(root), None), runs[12], resume=True)
        assert load_checkpoint(runs[12]).config.preprocessing.bit_depth == "auto"
    finally:
        config.write_text(before)


def test_too_many_images_of_another_depth_end_a_run(tmp_path: Path) -> None:
    """A depth that the user gives, and that the images exceed, is one sentence with both."""
    root = twin(write_folder(tmp_path / "set16", train=8, good=1, defects=1), 16)
    with pytest.raises(DatasetError, match="needs 16 bits, and bit_depth is 12"):
        fit(load_config(config_of(root, preprocessing={"bit_depth": 12}), None), tmp_path / "run")

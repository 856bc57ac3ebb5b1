"""A set whose images have rims around the product is trained, evaluated and exported by its region of interest."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from export.from_checkpoint import package_checkpoint
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.errors import ConfigError, DatasetError
from latentline.model import open_model
from latentline.package.model_package import load_package
from latentline.rescoring.pictures import PictureFile
from latentline.rescoring.scorer import PictureScorer
from latentline.vision.images import read_image
from latentline.vision.region import RegionOfInterest
from tests.trainer.folder import write_folder
from tests.trainer.run.test_refinement import labels
from trainer.checkpoint import load_checkpoint
from trainer.cli import load_config
from trainer.config import TrainConfig
from trainer.data.held_out import read_held_out
from trainer.data.loading import load
from trainer.evaluation.evaluate_checkpoint import evaluate_checkpoint
from trainer.run.fit import fit
from trainer.run.training_data import load_training_data, open_training_source

pytestmark = pytest.mark.usefixtures("undrawn")

REGION = RegionOfInterest(left=0.25, top=0.2, width=0.5, height=0.6)
X, Y, SIDE = 24, 16, 48  # the region of images of 96 x 80 px


def rimmed(root: Path) -> Path:
    """The images and masks in `root` with noise around them, which the masks call abnormal, and one more abnormal image
    with a defect in the noise alone."""
    rng = np.random.default_rng(0)

    def write(path: Path, rim: np.ndarray, inside: np.ndarray) -> None:
        whole = rim.astype(np.uint8)
        whole[Y : Y + SIDE, X : X + SIDE] = inside
        assert cv2.imwrite(str(path), whole)

    for path in sorted(root.rglob("*.png")):
        mask = path.stem.endswith("_mask")
        write(path, np.full((80, 96), 255) if mask else rng.integers(0, 256, (80, 96)), read_image(path))
    write(root / "test/square/outside.png", np.full((80, 96), 255), read_image(root / "train/good/000.png")[Y:64, X:72])
    write(root / "ground_truth/square/outside_mask.png", np.full((80, 96), 255), np.zeros((SIDE, SIDE), np.uint8))
    return root


def config_of(root: Path, file: str = "my.yaml", **changes: Any) -> TrainConfig:
    """Method pca, which trains in a moment."""
    content = {
        "method": {"kind": "pca"},
        "data": {"root": str(root), "held_out_fraction": 0.5},
        "preprocessing": {"region": REGION.model_dump()},
        "network": {"resolution": 32, "latent_size": 8},
        "search": {"iterations": 0, "map": "residual"},
        **changes,
    }
    path = root.parent / file
    path.write_text(yaml.safe_dump(content))
    return load_config(path, None)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same images alone, and with rims."""
    folder = tmp_path_factory.mktemp("sets")
    return write_folder(folder / "alone"), rimmed(write_folder(folder / "rimmed"))


@pytest.fixture(scope="module")
def run(sets: tuple[Path, Path]) -> Path:
    """A finished run on the images with rims, and its package."""
    made = sets[1].parent / "run"
    fit(config_of(sets[1]), made)
    package_checkpoint(made, made / "package", false_alarm_rate=0.2, threads=1)
    return made


def test_everything_reads_the_region_alone(
    sets: tuple[Path, Path], run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Split, tiles, held-out images and masks are those of a set without rims; a defect outside of it is counted."""
    alone = config_of(sets[0], "alone.yaml", preprocessing={})
    (expected, split), config = open_training_source(alone), load_checkpoint(run).config
    with caplog.at_level(logging.WARNING):
        source, found = open_training_source(config)
    assert found == split == load_checkpoint(run).split
    assert "1 of 9 abnormal images is left out, for nothing is masked within preprocessing.region" in caplog.text
    assert "the first: test/square/outside.png" in caplog.text
    rng = [np.random.default_rng(0) for _ in range(2)]
    tiles = [load_training_data(c).normal.tiles(50, r) for c, r in zip((alone, config), rng, strict=True)]
    assert (tiles[0] == tiles[1]).all()
    held = [read_held_out(s, split, 0).scored for s in (expected, source)]
    assert all((a == b).all() for a, b in zip(*held, strict=True))
    for name in split.test_abnormal["square"]:
        masks = [s.mask(name, (SIDE, SIDE)) for s in (source, expected)]
        assert masks[0] is not None and masks[1] is not None and (masks[0] == masks[1]).all() and masks[0].any()


def test_the_test_judges_the_region(run: Path) -> None:
    """Figures are those of the region: rims that the masks call abnormal do not count."""
    report = evaluate_checkpoint(run, false_alarm_rate=0.2)
    assert report.pixel_auroc is not None and report.pixel_auroc.value > 0.9
    assert load_checkpoint(run).config.preprocessing.region == REGION


def test_the_package_inspects_the_region_of_a_camera_s_frame(sets: tuple[Path, Path], run: Path) -> None:
    """Its score is that of the image without rims, and the defect lies where it is in the frame."""
    package = load_package(run / "package")
    assert package.manifest.preprocessing.region == REGION
    searcher = OpenVinoSearcher(package, threads=1)
    with open_model(run / "package", "openvino", threads=1) as model:
        for name in ("test/square/000.png", "test/good/001.png"):
            alone, frame = (read_image(root / name) for root in sets)
            expected, result = package.inspector(searcher).inspect(alone), model.inspect(frame)
            assert result.score == expected.score and result.tiles == expected.tiles == package.count_tiles(frame)
            assert result.defects == tuple(defect.moved(X, Y) for defect in expected.defects)
            assert package.count_tiles(frame) < package.tiler.count(frame)
        defects = model.inspect(read_image(sets[1] / "test/square/000.png")).defects
    searcher.close()
    (x, y, w, h), mask = defects[0].bbox, read_image(sets[1] / "ground_truth/square/000_mask.png")
    mask[:Y], mask[Y + SIDE :], mask[:, :X], mask[:, X + SIDE :] = 0, 0, 0, 0
    down, across = np.argwhere(mask).mean(axis=0)
    assert x <= across <= x + w and y <= down <= y + h


def test_a_picture_of_the_training_is_recognised(sets: tuple[Path, Path], run: Path) -> None:
    """Whatever the rim shows: the package knows what is within the region of the images behind it."""
    package = load_package(run / "package")
    trained, split = package.manifest.trained_images, load_checkpoint(run).split
    assert trained is not None
    scorer = PictureScorer(package)
    names = (split.train[0], split.held_out[0], "test/good/000.png")
    rows = scorer.score([PictureFile(name, sets[1]) for name in names])
    scorer.close()
    assert [row.pixels in trained for row in rows] == [True, True, False]


def test_boxes_of_labelled_images_are_cut_as_well(tmp_path: Path) -> None:
    """A false alarm that the station saw gives tiles around its place, which is told in pixels of the whole frame."""
    root = write_folder(tmp_path / "set", train=16, good=1, defects=1, side=96)
    added = labels(tmp_path / "labels", good=1)
    image = np.zeros((96, 96), np.uint8) + np.arange(96, dtype=np.uint8)
    assert cv2.imwrite(str(added / "train/good/0.png"), image)
    provenance = (added / "provenance.json").read_text()
    (added / "provenance.json").write_text(provenance.replace("[2, 3, 10, 12]", "[70, 30, 4, 4]"))
    data = {"root": str(root), "added": [str(added)]}
    region = {"left": 0.5, "top": 0.25, "width": 0.5, "height": 0.5}
    loaded = load_training_data(config_of(root, data=data, preprocessing={"region": region}))
    tiles = loaded.normal.tiles(1500, np.random.default_rng(0))[..., 0]
    labelled = [tile for tile in tiles if (tile == tile[0]).all()]
    assert len(labelled) > 0.02 * 1500 and all(tile[0, 0] <= 70 and tile[0, -1] >= 73 for tile in labelled)


def test_mistakes_get_a_sentence(sets: tuple[Path, Path], run: Path, tmp_path: Path) -> None:
    """A region below a tile or, in most images, below 8 px; another one for a run; one for images that are cut."""
    small, tiny = ({"region": {"width": share, "height": 0.6}} for share in (0.25, 0.05))
    with pytest.raises(ConfigError, match=r"region has 24 x 48 px at this scale, less than a tile of 32 px; enlarge"):
        fit(config_of(sets[1], preprocessing=small), tmp_path / "small")
    with pytest.raises(DatasetError, match=r"000.png: the region of interest of a frame of 96 x 80 px has 5 x 48 px"):
        source, split = open_training_source(config_of(sets[1], preprocessing=tiny))
        load(source, split.train)
    with pytest.raises(ConfigError, match=r"preprocessing.region.width was 0.5, is 0.25"):
        fit(config_of(sets[1], preprocessing=small), run, resume=True)
    with pytest.raises(ConfigError, match=r"nanotwice cuts its images itself: leave preprocessing\.region out"):
        config_of(sets[1], data={"kind": "nanotwice", "root": str(sets[1])})


def test_images_without_masks_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows whether their defects are in the region, and the log says so."""
    root = write_folder(tmp_path / "set", train=8, good=1, defects=3)
    for path in (root / "ground_truth/square").iterdir():
        path.unlink()
    with caplog.at_level(logging.INFO):
        _, split = open_training_source(config_of(root))
    assert len(split.test_abnormal["square"]) == 3
    assert "3 abnormal images have no masks, so nobody knows whether their defects are within the region" in caplog.text

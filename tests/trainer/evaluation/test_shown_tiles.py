"""An evaluation shows tiles of a few test images, chosen before it is known how they turn out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from latentline.inspection.panels import GREEN
from tests.trainer.folder import write_folder
from tests.trainer.inspectors import brightness_inspector
from tests.trainer.pictures.viewers import read_cells, shifting_viewer
from trainer.data.folders import FolderSource
from trainer.data.settings import FolderData
from trainer.evaluation.accumulator import Subject
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.shown_tiles import ShownTiles
from trainer.pictures.tiles import PicturedTile, TileViewer

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", good=5, defects=4)


def _evaluate(root: Path, out: Path, viewer: TileViewer | None) -> str:
    """The report.md of an evaluation that shows tiles."""
    source = FolderSource(FolderData(root=root, held_out_fraction=0.5))
    evaluate(brightness_inspector(), Subject("brightness", "none", "b"), source, source.split(0), out, viewer=viewer)
    return (out / "report.md").read_text()


@dataclass(frozen=True)
class RecordingViewer(TileViewer):
    """Keeps the tiles instead of drawing them."""

    saved: list[PicturedTile] = field(default_factory=list)

    def save(self, path: Path, tiles: Sequence[PicturedTile]) -> None:
        self.saved.extend(tiles)


def _recording() -> RecordingViewer:
    viewer = shifting_viewer(0)
    return RecordingViewer(viewer.tiler, viewer.searchers)


def test_the_report_shows_the_picture_and_says_what_a_good_one_looks_like(root: Path, tmp_path: Path) -> None:
    """Three normal rows and two of the defect, its mask outlined, below the table."""
    plain = _evaluate(root, tmp_path / "plain", None)
    report = _evaluate(root, tmp_path / "out", shifting_viewer(5, 0))
    assert "![tiles of test images" in report and "![tiles of test images" not in plain
    assert "(tiles.png)" in report and "should show the same product as its tile" in report
    rows = read_cells(tmp_path / "out" / "tiles.png")
    assert [len(row) for row in rows] == [5] * 5
    assert [(row[0] == GREEN).all(axis=2).any() for row in rows] == [False] * 3 + [True] * 2


def test_without_a_viewer_there_is_no_picture(root: Path, tmp_path: Path) -> None:
    """Not even that of an earlier evaluation into the same folder."""
    _evaluate(root, tmp_path / "out", shifting_viewer(0))
    assert "tiles.png" not in _evaluate(root, tmp_path / "out", None)
    assert not (tmp_path / "out" / "tiles.png").exists()


def test_the_first_readable_images_of_each_kind_are_shown(root: Path, tmp_path: Path) -> None:
    """By their names, whatever the model makes of them."""
    (root / "train" / "good").rename(tmp_path / "train")
    write_folder(root, good=12, defects=4)
    (root / "test" / "good" / "001.png").write_bytes(b"no image")
    viewer = _recording()
    _evaluate(root, tmp_path / "out", viewer)
    names = ["good/000", "good/002", "good/003", "square/000", "square/001"]
    assert [tile.title.split(" · ")[1] for tile in viewer.saved] == [f"test/{name}.png" for name in names]


def test_of_many_kinds_the_first_image_of_each_has_precedence() -> None:
    """Six defects in all: of four kinds two have two; of eight kinds six are shown."""
    for kinds, counts in ((1, [2]), (4, [2, 2, 1, 1]), (8, [1] * 6)):
        viewer = _recording()
        readable = {"good": ("g0", "g1"), **{f"k{k}": tuple(f"k{k}-{i}" for i in range(3)) for k in range(kinds)}}
        shown = ShownTiles(viewer, readable)
        for kind, names in readable.items():
            for name in names:
                shown.add(name, kind, np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.float32), None)
        shown.save(Path("unused.png"))
        titles = [tile.title.split(" · ")[0] for tile in viewer.saved]
        assert titles == ["normal"] * 2 + [f"k{k}" for k, count in enumerate(counts) for _ in range(count)]


def test_without_masks_the_highest_place_of_the_map_is_shown(root: Path, tmp_path: Path) -> None:
    """The defect is the brightest place, and brightness the map. The row says that there is no mask."""
    for path in (root / "ground_truth" / "square").iterdir():
        path.unlink()
    viewer = _recording()
    _evaluate(root, tmp_path / "out", viewer)
    *normal, first, second = viewer.saved
    assert len(normal) == 3 and "no mask" not in normal[0].title
    for tile in (first, second):
        image = cv2.imread(str(root / tile.title.split(" · ")[1].split(",")[0]), cv2.IMREAD_GRAYSCALE)
        assert image is not None and tile.tile.max() == image.max() and tile.mask is None
        assert "no mask: where the anomaly map is highest" in tile.title

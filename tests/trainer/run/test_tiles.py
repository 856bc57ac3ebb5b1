"""A run shows what its model makes of tiles that it was not trained on, and of no test image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.trainer.pictures.viewers import read_cells
from tests.trainer.runs import write_config
from trainer.checkpoint import Checkpoint, load_checkpoint
from trainer.cli import load_config
from trainer.data.folders import FolderSource
from trainer.data.settings import FolderData
from trainer.run.fit import fit
from trainer.run.tiles import draw_tiles


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Of a GAN without an encoder, with four known-abnormal images."""
    folder = tmp_path_factory.mktemp("trained")
    config = load_config(write_config(folder, fade_images=1, stable_images=0, final_images=8), None)
    return load_checkpoint(fit(config, folder / "run"))


class NotingSource(FolderSource):
    """Notes the names of the images that are read."""

    names: list[str]

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        self.names.append(name)
        return super().read(name)


def _open(checkpoint: Checkpoint) -> tuple[NotingSource, list[str]]:
    """The images of the checkpoint, and the names of those that are read from now on."""
    assert isinstance(checkpoint.config.data, FolderData)
    source = NotingSource(checkpoint.config.data)
    source.names = []
    return source, source.names


def test_held_out_and_known_abnormal_tiles_are_shown(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Three of each, the same ones every time; no image of the test or of the training is even read."""
    for file in ("one.png", "two.png"):
        source, names = _open(checkpoint)
        draw_tiles(tmp_path / file, checkpoint, source)
        assert len(names) == 6 and set(names[:3]) <= set(checkpoint.split.held_out)
        assert set(names[3:]) <= set(checkpoint.split.known_abnormal)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert [len(row) for row in read_cells(tmp_path / "one.png")] == [3] * 6  # tile, search, difference


def test_an_unreadable_image_is_passed_over(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """The next one takes its place; a training that is over does not end in an error for a picture."""
    source, names = _open(checkpoint)
    draw_tiles(tmp_path / "before.png", checkpoint, source)
    path = Path(source.place) / names[0]
    content = path.read_bytes()
    path.write_bytes(b"no image")
    try:
        draw_tiles(tmp_path / "after.png", checkpoint, source)
    finally:
        path.write_bytes(content)
    assert len(read_cells(tmp_path / "after.png")) == 6 and len(set(names)) == 7


def test_without_known_abnormal_images_only_normal_tiles_are_shown(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """And nothing where no image was held out."""
    split = replace(checkpoint.split, known_abnormal=(), validation_abnormal=())
    source, names = _open(checkpoint)
    draw_tiles(tmp_path / "tiles.png", replace(checkpoint, split=split), source)
    assert len(names) == len(read_cells(tmp_path / "tiles.png")) == 3
    draw_tiles(tmp_path / "none.png", replace(checkpoint, split=replace(split, held_out=())), source)
    assert not (tmp_path / "none.png").exists()

"""JSON files of LabelMe are masks of the images beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentline.errors import DatasetError, ImageError
from tests.trainer.data.test_masks import HEIGHT, WIDTH, write, write_images
from trainer.data.image_folder import ImageFolder
from trainer.data.labelme import read_labelme
from trainer.data.mask_counts import MaskFiles


def shape(points: Any, kind: str | None = "polygon", label: str = "scratch") -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}}


def labelled(path: Path, *shapes: Any, **changes: Any) -> Path:
    """A file as LabelMe 5 writes it."""
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    content: dict[str, Any] = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "a.png",
        "imageData": None,
        **size,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **changes}))
    return path


BOX = [[3.2, 2.5], [9.9, 2.5], [9.9, 5.1], [3.2, 5.1]]
DRAWN = np.zeros((HEIGHT, WIDTH), np.bool_)
DRAWN[2:6, 3:10] = True


@pytest.mark.parametrize(
    ("one", "pixels"),
    [
        (shape(BOX), 28),
        (shape(BOX, None), 28),
        (shape([BOX[2], BOX[0]], "rectangle"), 28),
        (shape([[15.5, 10.5], [15.5, 13.5]], "circle"), 37),
        (shape([[-50, -50], [1e9, -50], [1e9, 1e9], [-50, 1e9]]), HEIGHT * WIDTH),
        (shape(BOX, label="_background_"), 0),
    ],
    ids=["polygon", "of the first versions", "rectangle", "circle", "over the edge", "background"],
)
def test_what_is_within_a_shape_is_abnormal(tmp_path: Path, one: dict[str, Any], pixels: int) -> None:
    """Edges included; two shapes are one mask."""
    mask = read_labelme(labelled(tmp_path / "a.json", one))
    assert mask.shape == (HEIGHT, WIDTH) and abs(int(mask.sum()) - pixels) <= (8 if pixels == 37 else 0)
    both = read_labelme(labelled(tmp_path / "a.json", one, shape(BOX)))
    assert (both == mask | DRAWN).all()


@pytest.mark.parametrize("place", ["test/cut/a.json", "test/cut/a.png.JSON", "labels/cut/a.json", "masks/a.json"])
def test_a_labelme_file_is_found(tmp_path: Path, place: str) -> None:
    """Beside its image or where masks lie; it is counted as a mask, and other JSON files are none."""
    root = write_images(tmp_path, "test/cut/a.png", "test/cut/b.png")
    labelled(root / place, shape(BOX))
    (root / "test/cut/b.json").write_text('{"exposure": 3}')
    folder = ImageFolder.scan(root)
    mask = folder.mask("test/cut/a.png", (HEIGHT, WIDTH))
    assert mask is not None and (mask == DRAWN).all()
    assert folder.mask("test/cut/b.png", (HEIGHT, WIDTH)) is None
    assert folder.masks.files == MaskFiles(1, 1, None)


def test_a_picture_goes_before_a_labelme_file(tmp_path: Path) -> None:
    """It may have been made from that, and corrected."""
    root = write_images(tmp_path, "test/cut/a.png")
    labelled(root / "test/cut/a.json", shape(BOX))
    write(root / "ground_truth/cut/a.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    mask = ImageFolder.scan(root).mask("test/cut/a.png", (HEIGHT, WIDTH))
    assert mask is not None and not mask.any()


def test_a_labelme_file_of_another_size_is_refused(tmp_path: Path) -> None:
    """As a picture is."""
    root = write_images(tmp_path, "test/cut/a.png")
    labelled(root / "test/cut/a.json", shape(BOX), imageWidth=31)
    with pytest.raises(DatasetError, match=r"a\.json: the mask has 31 x 20 px, its image 30 x 20"):
        ImageFolder.scan(root).mask("test/cut/a.png", (HEIGHT, WIDTH))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"version": "5.5.0", "shapes": [', "is broken JSON in line 1"),
        (b'{"shapes": "\xe4"}', "is no JSON"),
        ('["shapes"]', "is not a file of LabelMe"),
        ({"shapes": None}, "has no list of shapes"),
        ({"imageHeight": None}, "imageHeight is not the size of a picture"),
        ({"imageWidth": 10**9}, "which no camera has"),
        ({"shapes": [7]}, "shape 1 is not a shape of LabelMe"),
        ({"shapes": [shape(BOX), shape(BOX, "linestrip")]}, "shape 2 is of type 'linestrip', which is not read; draw"),
        ({"shapes": [shape(BOX[:2])]}, "shape 1 needs 3 points or more"),
        ({"shapes": [shape([[1, 2], [3]], "rectangle")]}, "shape 1 needs 2 points or more, each two numbers"),
        ({"shapes": [shape([[1, 2], [3, float("nan")]], "circle")]}, "each two numbers"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, content: Any, sentence: str) -> None:
    """The file, the shape by its number, and what to do."""
    path = tmp_path / "a.json"
    if isinstance(content, dict):
        labelled(path, **content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ImageError) as caught:
        read_labelme(path)
    assert str(caught.value).startswith(str(path)) and sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_shapes_is_an_empty_mask(tmp_path: Path) -> None:
    """As a black picture is, and counted so."""
    assert not read_labelme(labelled(tmp_path / "a.json")).any()

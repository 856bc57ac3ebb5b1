"""Masks are found under the names of common data sets, laid on their images, and counted."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from latentline.errors import DatasetError
from trainer.data.folders import FolderSource
from trainer.data.image_folder import ImageFolder
from trainer.data.mask_counts import MaskFiles
from trainer.data.orientation import turned
from trainer.data.settings import FolderData

HEIGHT, WIDTH = 20, 30
DRAWN = np.zeros((HEIGHT, WIDTH), np.uint8)
DRAWN[2:6, 3:10] = 1


def write(path: Path, image: np.ndarray = DRAWN) -> None:
    """A picture in a folder made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def write_images(root: Path, *names: str) -> Path:
    """Grey images; two normal ones always."""
    for name in ("train/good/000.png", "train/good/001.png", *names):
        write(root / name, np.full((HEIGHT, WIDTH), 128, np.uint8))
    return root


LAYOUTS = {
    "MVTec AD": ("test/cut/000.png", ["ground_truth/cut/000_mask.png"]),
    "MVTec LOCO": ("test/logical/000.png", ["ground_truth/logical/000/000.png", "ground_truth/logical/000/001.png"]),
    "VisA": ("test/bad/000.JPG", ["ground_truth/bad/000.png"]),
    "BTAD": ("test/ko/0000.bmp", ["ground_truth/ko/0000.png"]),
    "KolektorSDD": ("test/kos01/Part0.jpg", ["test/kos01/Part0_label.bmp"]),
    "KolektorSDD2": ("test/defect/10000.png", ["test/defect/10000_GT.png"]),
    "DAGM": ("test/class1/0576.PNG", ["test/class1/Label/0576_label.PNG"]),
    "a mirrored tree": ("test/cut/000.png", ["masks/test/cut/000.png"]),
    "no folders of kinds": ("test/cut/000.png", ["masks/000.png"]),
    "masks beside the kinds": ("test/cut/000.png", ["test/masks/cut/000.tif"]),
    "a folder of masks a kind": ("test/cut/000.png", ["test/cut_masks/000.png"]),
    "capitals": ("test/Cut/a.PNG", ["Ground_Truth/cut/A_Mask.Png"]),
    "the whole name of the image": ("test/cut/a.jpg", ["ground_truth/cut/a.jpg.png"]),
    "a folder called as the image": (
        "test/cut/a.png",
        ["ground_truth/cut/a.png/x.png", "ground_truth/cut/a.png/y.png"],
    ),
    "dots in the name": ("test/cut/a.b.png", ["ground_truth/cut/a.b_mask.png"]),
    "a hyphen": ("test/cut/a.png", ["masks/cut/a-mask.webp"]),
    "gt": ("test/cut/a.png", ["gt/cut/a.png"]),
    "CVAT": ("test/cut/a.jpg", ["SegmentationClass/a.png"]),
    "labels": ("test/cut/a.png", ["labels/cut/a_label.tiff"]),
}


@pytest.mark.parametrize(("image", "masks"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_masks_are_found_where_common_data_sets_have_them(tmp_path: Path, image: str, masks: list[str]) -> None:
    """Every file is counted as found and matched, several of one image are one mask, and none counts as an image."""
    root = write_images(tmp_path, image)
    for index, name in enumerate(masks):
        write(root / name, np.roll(DRAWN, 8 * index, axis=1))
    folder = ImageFolder.scan(root)
    assert [name for names in folder.test_abnormal.values() for name in names] == [image]
    found = folder.mask(image, (HEIGHT, WIDTH))
    assert found is not None and found.sum() == 28 * len(masks) and found[2:6, 3:10].all()
    assert folder.masks.files == MaskFiles(len(masks), len(masks), None)


def test_the_likeliest_of_several_masks_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """That of the defect's own folder, with `_mask`, in the same case; the others are counted, and one is named."""
    root = write_images(tmp_path, "test/cut/a.png", "test/cut/A.png")
    for name in ("ground_truth/cut/a_mask.png", "ground_truth/cut/A_mask.png"):
        write(root / name, DRAWN if "/a" in name else DRAWN * 0)
    for name in ("ground_truth/cut/a.png", "masks/cut/a_mask.png"):
        write(root / name, np.ones_like(DRAWN))
    folder = ImageFolder.scan(root)
    lower, upper = (folder.mask(f"test/cut/{stem}.png", (HEIGHT, WIDTH)) for stem in "aA")
    assert lower is not None and upper is not None and lower.sum() == 28 and not upper.any()
    assert folder.masks.files == MaskFiles(4, 2, "ground_truth/cut/a.png")
    assert "2 masks belong to no abnormal image, or may belong to several" in caplog.text


def test_a_mask_that_may_belong_to_two_kinds_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder without folders of kinds has one file for both images: nobody guesses."""
    root = write_images(tmp_path, "test/cut/000.png", "test/dent/000.png", "test/dent/001.png")
    for stem in ("000", "001"):
        write(root / "masks" / f"{stem}.png")
    folder = ImageFolder.scan(root)
    assert folder.mask("test/cut/000.png", (HEIGHT, WIDTH)) is None
    assert folder.mask("test/dent/001.png", (HEIGHT, WIDTH)) is not None
    assert folder.masks.files == MaskFiles(2, 1, "masks/000.png")
    assert "may belong to several, and is not used, the first: masks/000.png" in caplog.text


def test_masks_of_known_abnormal_images_elsewhere_count(tmp_path: Path) -> None:
    """They are files found and matched as those of the test are, and so are strays beside them."""
    root = write_images(tmp_path / "data", "test/cut/000.png")
    for name in ("known/a.png", "known/masks/a.png", "known/masks/stray.png", "data/masks/cut/000.png"):
        write(tmp_path / name)
    source = FolderSource(FolderData(root=root, known_abnormal=tmp_path / "known"))
    assert source.mask_files == MaskFiles(3, 2, f"{tmp_path}/known/masks/stray.png")


def test_masks_of_normal_images_are_no_strays(tmp_path: Path) -> None:
    """Some data sets have empty masks for them."""
    root = write_images(tmp_path, "test/cut/000.png", "test/good/000.png")
    for kind in ("cut", "good"):
        write(root / "ground_truth" / kind / "000.png")
    assert ImageFolder.scan(root).masks.files == MaskFiles(1, 1, None)


def test_a_mask_beside_a_normal_image_is_no_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As KolektorSDD has them; the log says so. A file of such a name without its image is an image."""
    root = write_images(tmp_path, "train/good/000_label.bmp", "train/good/face_mask.png")
    with caplog.at_level(logging.INFO):
        assert ImageFolder.scan(root).train_good == (
            "train/good/000.png",
            "train/good/001.png",
            "train/good/face_mask.png",
        )
    assert "1 file is taken for a mask of the image beside it, such as train/good/000_label.bmp" in caplog.text


def test_a_kind_of_defect_may_be_called_label(tmp_path: Path) -> None:
    """So may `mask`; and `known/label` is a kind where `known` has no images itself."""
    root = write_images(tmp_path / "data", "test/label/a.png", "test/mask/a.png")
    assert list(ImageFolder.scan(root).test_abnormal) == ["label", "mask"]
    write(tmp_path / "known" / "label" / "a.png")
    source = FolderSource(FolderData(root=root, known_abnormal=tmp_path / "known"))
    assert source.split(0).known_abnormal == (f"{tmp_path}/known/label/a.png",)
    write(tmp_path / "known" / "a.png")
    assert source.split(0).known_abnormal == (f"{tmp_path}/known/a.png",)
    assert source.mask(f"{tmp_path}/known/a.png", (HEIGHT, WIDTH)) is not None


def save(path: Path, pixels: np.ndarray, orientation: int = 1) -> None:
    """A picture as a camera or a tool stores it, with an EXIF orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels)
    if path.suffix == ".tif":
        image.save(path, tiffinfo={0x0112: orientation})
    else:
        image.save(path, exif=exif.tobytes(), lossless=True)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("drawn_on", ["upright", "turned alike", "stored"])
def test_a_mask_lies_where_its_defect_is_read(tmp_path: Path, suffix: str, orientation: int, drawn_on: str) -> None:
    """A picture that is turned as its EXIF says is white exactly where its mask is, if the mask's size can tell how.

    The mask has the picture's pixels upright, or those stored with the same orientation or, where the orientation
    exchanges width and height, without one.
    """
    root = write_images(tmp_path)
    save(root / f"test/cut/a{suffix}", DRAWN * 255, orientation)
    upright = turned(DRAWN > 0, orientation).astype(np.uint8)
    if drawn_on == "upright":
        save(root / "ground_truth/cut/a.png", upright)
    elif drawn_on == "turned alike":
        save(root / "ground_truth/cut/a.png", DRAWN, orientation)
    else:
        save(root / "ground_truth/cut/a.png", DRAWN if orientation > 4 else upright)
    folder = ImageFolder.scan(root)
    image = folder.read(f"test/cut/a{suffix}")
    image = image if image.ndim == 2 else image[..., 0]
    mask = folder.mask(f"test/cut/a{suffix}", image.shape)
    assert mask is not None and ((image > 127) == mask).all()


def test_masks_that_can_tell_decide_for_those_that_cannot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Upside down, a mask fits either way: it is turned where one of a sideways picture must be, and both are said."""
    root = write_images(tmp_path)
    save(root / "test/cut/down.png", DRAWN * 255, 3)
    save(root / "ground_truth/cut/down.png", DRAWN)
    with caplog.at_level(logging.INFO):
        alone = ImageFolder.scan(root).mask("test/cut/down.png", (HEIGHT, WIDTH))
        assert alone is not None and (alone == DRAWN).all()
        assert "are taken as drawn on the upright images; the first:" in caplog.text
        save(root / "test/cut/side.png", DRAWN * 255, 6)
        save(root / "ground_truth/cut/side.png", DRAWN)
        decided = ImageFolder.scan(root).mask("test/cut/down.png", (HEIGHT, WIDTH))
    assert decided is not None and (decided == np.rot90(DRAWN, 2)).all()
    assert "fit these as stored, and are turned as it says; the first:" in caplog.text


def test_the_way_of_sideways_masks_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once for all of them: here they fit the upright images."""
    root = write_images(tmp_path)
    for stem in "ab":
        save(root / f"test/cut/{stem}.png", DRAWN * 255, 8)
        save(root / f"ground_truth/cut/{stem}.png", turned(DRAWN > 0, 8).astype(np.uint8))
    folder = ImageFolder.scan(root)
    with caplog.at_level(logging.INFO):
        for stem in "ab":
            assert folder.mask(f"test/cut/{stem}.png", (WIDTH, HEIGHT)) is not None
    (message,) = caplog.messages
    assert message.startswith(
        "masks of images with an EXIF orientation fit these upright, and stay as they are; the first"
    )


def test_an_orientation_left_on_an_upright_mask_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Some tools turn the pixels and keep the tag: the mask fits without it. One that fits in no way is refused."""
    root = write_images(tmp_path)
    save(root / "test/cut/a.jpg", DRAWN * 255, 6)
    save(root / "ground_truth/cut/a.png", turned(DRAWN > 0, 6).astype(np.uint8), 6)
    folder = ImageFolder.scan(root)
    with caplog.at_level(logging.INFO):
        mask = folder.mask("test/cut/a.jpg", (WIDTH, HEIGHT))
    assert mask is not None and (mask == np.rot90(DRAWN, -1)).all()
    assert "orientation of masks that are upright without it is ignored" in caplog.text
    with pytest.raises(DatasetError, match=r"a\.png: the mask has 30 x 20 px, its image 7 x 7"):
        folder.mask("test/cut/a.jpg", (7, 7))

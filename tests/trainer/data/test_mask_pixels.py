"""However a label tool writes a mask, every pixel other than 0 is abnormal, and no other."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from latentline.errors import ImageError
from latentline.vision.images import read_image
from tests.deep_pictures import tiff, write
from trainer.data.mask_pixels import read_mask

Drawn = np.zeros((24, 32), np.uint8)
Drawn[5:12, 9:20] = 1  # 77 px
UInt8 = np.ndarray


def palette(first: tuple[int, int, int], second: tuple[int, int, int]) -> Callable[[UInt8], Image.Image]:
    """A writer of class ids 0 and 8 with these colours."""

    def paletted(drawn: UInt8) -> Image.Image:
        image = Image.fromarray(drawn * 8, "L").convert("P")
        image.putdata((drawn * 8).ravel().tolist())
        image.putpalette([*first, *([7, 7, 7] * 7), *second, *([9, 9, 9] * 247)])
        return image

    return paletted


def alpha(colour: int, under: int, opacity: UInt8) -> UInt8:
    """BGRA of two greys, where drawn and elsewhere, with the given opacity."""
    grey = np.where(Drawn > 0, colour, under).astype(np.uint8)
    return np.dstack([grey, grey, grey, opacity])


def encoded(image: UInt8 | Image.Image, suffix: str = ".png") -> bytes:
    """The bytes of a file."""
    if isinstance(image, Image.Image):
        file = io.BytesIO()
        image.save(file, {".png": "PNG", ".bmp": "BMP", ".tif": "TIFF"}[suffix])
        return file.getvalue()
    return bytes(cv2.imencode(suffix, image)[1])


GREY = {
    "0 and 1": Drawn,
    "0 and 255": Drawn * 255,
    "class ids": Drawn * 3,
    "16 bit, 1": Drawn.astype(np.uint16),
    "16 bit, 255": Drawn.astype(np.uint16) * 255,
    "16 bit, 65535": Drawn.astype(np.uint16) * 65535,
    "blue": np.dstack([Drawn, Drawn * 0, Drawn * 0]),
    "16 bit colour": np.dstack([Drawn * 0, Drawn * 0, Drawn]).astype(np.uint16),
    "opaque": alpha(255, 0, np.full_like(Drawn, 255)),
    "an alpha channel of zeros": alpha(255, 0, np.zeros_like(Drawn)),
    "white, transparent where normal": alpha(255, 255, Drawn * 255),
    "half transparent paint": alpha(90, 255, Drawn * 128),
    "black paint on a transparent sheet": alpha(0, 0, Drawn * 255),
    "a hole where abnormal": alpha(255, 0, 255 - Drawn * 255),
}


@pytest.mark.parametrize("written", GREY.values(), ids=GREY.keys())
def test_any_value_but_zero_is_abnormal_and_opacity_is_not(tmp_path: Path, written: UInt8) -> None:
    """Of grey, 16-bit, coloured and RGBA masks the same pixels are abnormal."""
    path = tmp_path / "mask.png"
    path.write_bytes(encoded(written))
    assert (read_mask(path) == (Drawn > 0)).all()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize(
    "write",
    [
        palette((0, 0, 0), (64, 0, 0)),
        palette((0, 0, 0), (0, 0, 0)),
        palette((255, 255, 255), (200, 0, 0)),
        lambda drawn: Image.fromarray(drawn * 255).convert("1"),
    ],
    ids=["colours of VOC", "all black", "a white background", "1 bit"],
)
def test_entries_of_a_palette_are_class_ids(tmp_path: Path, write: Callable[[UInt8], Image.Image], suffix: str) -> None:
    """Entry 0 is normal, whatever colours the palette shows."""
    path = tmp_path / f"mask{suffix}"
    path.write_bytes(encoded(write(Drawn), suffix))
    assert (read_mask(path) == (Drawn > 0)).all()


def test_black_is_normal_also_as_another_entry_of_a_palette(tmp_path: Path) -> None:
    """A quantised picture may have white first: white is abnormal then, and black is not."""
    image = Image.fromarray(1 - Drawn, "L").convert("P")
    image.putdata((1 - Drawn).ravel().tolist())
    image.putpalette([255, 255, 255, 0, 0, 0])
    (tmp_path / "mask.png").write_bytes(encoded(image))
    assert (read_mask(tmp_path / "mask.png") == (Drawn > 0)).all()
    Image.new("P", (8, 8), 0).save(tmp_path / "black.png")
    assert not read_mask(tmp_path / "black.png").any()
    white = Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).quantize(2)
    white.save(tmp_path / "white.png")
    assert read_mask(tmp_path / "white.png").all()


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_the_haze_of_a_compressed_mask_is_normal(tmp_path: Path, suffix: str, quality: int) -> None:
    """Around what was drawn, a JPEG has pixels that are a little brighter than 0."""
    path = tmp_path / f"mask{suffix}"
    flag = cv2.IMWRITE_JPEG_QUALITY if suffix == ".jpg" else cv2.IMWRITE_WEBP_QUALITY
    path.write_bytes(bytes(cv2.imencode(suffix, Drawn * 255, (flag, quality))[1]))
    assert np.count_nonzero(read_image(path)) > Drawn.sum()
    assert (read_mask(path) == (Drawn > 0)).all()


@given(
    arrays(np.uint16, (7, 9), elements=st.integers(0, 65535) | st.just(0)),
    st.sampled_from([".png", ".tif", ".tiff", ".bmp", ".webp"]),
    st.sampled_from([1, 3, 4]),
)
def test_a_lossless_mask_is_read_to_the_pixel(
    tmp_path_factory: pytest.TempPathFactory, values: UInt8, suffix: str, channels: int
) -> None:
    """Whatever values, format and number of channels: abnormal is what is not 0."""
    path = tmp_path_factory.getbasetemp() / f"lossless{suffix}"
    image = values if suffix in (".png", ".tif", ".tiff") else np.minimum(values, 255).astype(np.uint8)
    if channels > 1:
        image = np.dstack([image, image * 0, image * 0, np.full_like(image, np.iinfo(image.dtype).max)][:channels])
    path.write_bytes(bytes(cv2.imencode(suffix, image, (cv2.IMWRITE_WEBP_QUALITY, 101))[1]))
    assert (read_mask(path) == (values != 0)).all()


@pytest.mark.parametrize(
    "content", [b"", b"no image", encoded(Drawn)[:60], encoded(palette((0, 0, 0), (1, 1, 1))(Drawn))[:-40]]
)
def test_a_broken_mask_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """It names the file."""
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"mask\.png: "):
        read_mask(tmp_path / "mask.png")


def test_a_mask_that_decodes_to_too_much_is_refused(tmp_path: Path) -> None:
    """By its header: a small file of many channels, as any other picture."""
    content = tiff(np.zeros((8, 8), np.uint8), 8, (277, 60_000), (256, 20_000))
    with pytest.raises(ImageError, match=r"a\.tif: declares .* which take \d+ MiB"):
        read_mask(write(tmp_path / "a.tif", content))

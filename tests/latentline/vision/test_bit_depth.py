"""A picture of more than eight bits is scaled by the depth that its format, its camera or its set has, or refused."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from latentline.errors import ImageError
from latentline.vision.bit_depth import BitDepth
from latentline.vision.images import read_image, read_raw
from tests.deep_pictures import deepened, jp2, pgm, png, significant, tiff, write

GREY = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8), (0, 0), 1)
GREY = cv2.normalize(GREY, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
DEPTHS: list[BitDepth] = ["auto", 8, 10, 12, 14, 16]


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("kind", [".png", ".tif", ".pnm", ".jp2"])
def test_the_upper_eight_of_the_bits_are_read(kind: str, image: np.ndarray, bits: int, tmp_path: Path) -> None:
    """Of a file that only says 16 bits, the bit depth decides; without one, as before it was known, 16."""
    deep = deepened(image, bits)
    lossless = (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000) if kind == ".jp2" else ()
    path = write(tmp_path / f"a{kind}", cv2.imencode(kind, deep, lossless)[1].tobytes())
    np.testing.assert_array_equal(read_image(path, bits), image)
    np.testing.assert_array_equal(read_image(path), deep >> 8)
    np.testing.assert_array_equal(read_raw(path).image, deep)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_format_that_defines_white_needs_no_depth(depth: BitDepth, tmp_path: Path) -> None:
    """PGM by its maxval, JPEG 2000 and packed TIFF by their bits: whatever depth the set has, and whatever is dark."""
    for bits in (10, 12, 14):
        for image in (GREY, GREY // 40):
            deep = deepened(image, bits)
            for content in (pgm(deep, (1 << bits) - 1), jp2(deep, bits), tiff(deep, bits)):
                np.testing.assert_array_equal(read_image(write(tmp_path / "a", content), depth), image)
    for white in (100, 200, 1000, 3000):
        levels = np.linspace(0, white, 64 * 48).reshape(48, 64).astype(np.uint16)
        found = read_image(write(tmp_path / "a", pgm(levels, white)), depth)
        np.testing.assert_allclose(found, levels * (255 / white), atol=1)
        text = f"P2\n64 48\n{white}\n" + " ".join(map(str, levels.ravel())) + "\n"
        np.testing.assert_allclose(read_image(write(tmp_path / "a", text.encode()), depth), found, atol=1)
    eight = write(tmp_path / "a", png(GREY))
    np.testing.assert_array_equal(read_image(eight, depth), GREY)


@pytest.mark.parametrize(("kind", "depth"), [(".png", 12), (".png", 8), (".tif", 14), (".pgm", 10)])
def test_a_level_beyond_the_depth_is_refused(kind: str, depth: int, tmp_path: Path) -> None:
    """One grey level that needs more bits, however few pixels have it; the sentence names both depths and the file."""
    deep = np.zeros((48, 64), np.uint16)
    deep[7, 9] = 1 << depth
    path = write(tmp_path / f"a{kind}", cv2.imencode(kind, deep)[1].tobytes())
    needed = rf"a\{kind}: grey level {1 << depth} needs {depth + 1} bits, and bit_depth is {depth}"
    with pytest.raises(ImageError, match=needed):
        read_image(path, depth)
    deep[7, 9] -= 1
    write(path, cv2.imencode(kind, deep)[1].tobytes())
    assert read_image(path, depth)[7, 9] == 255


@pytest.mark.parametrize("claim", ["png", "tiff"])
def test_a_remark_about_the_depth_must_fit(claim: str, tmp_path: Path) -> None:
    """sBIT and MaxSampleValue that name another depth than the set has: refused. What they cannot mean is ignored."""

    def claiming(image: np.ndarray, bits: int) -> Path:
        made = significant(png(image), bits) if claim == "png" else tiff(image, 16, (281, (1 << bits) - 1))
        return write(tmp_path / "a", made)

    path = claiming(deepened(GREY, 12), 12)
    assert read_raw(path).claimed == 12
    np.testing.assert_array_equal(read_image(path, 12), GREY)
    for depth in (14, 16):
        with pytest.raises(ImageError, match=f"says that it has 12 bits, and bit_depth is {depth}"):
            read_image(path, depth)
    with pytest.raises(ImageError, match="needs 12 bits, and bit_depth is 10"):
        read_image(path, 10)
    np.testing.assert_array_equal(read_image(claiming(deepened(GREY, 16), 12), 16), GREY)  # as the PNG standard has it
    assert read_raw(claiming(deepened(GREY, 12), 16)).claimed is None
    assert read_raw(write(tmp_path / "a", tiff(deepened(GREY, 12), 16, (281, 3012)))).claimed is None


def _no_decoder(*_: object) -> None:
    raise AssertionError("the decoder got it")


NUMBERS = {
    "float": (tiff(GREY.astype(np.float32), 32, (339, 3)), "floating-point numbers of 32 bits"),
    "double": (tiff(GREY.astype(np.float64), 64, (339, 3)), "floating-point numbers of 64 bits"),
    "half": (tiff(GREY.astype(np.float16), 16, (339, 3)), "floating-point numbers of 16 bits"),
    "signed": (tiff(GREY.astype(np.int16), 16, (339, 2)), "signed whole numbers of 16 bits"),
    "signed byte": (tiff(GREY.astype(np.int8), 8, (339, 2)), "signed whole numbers of 8 bits"),
    "whole": (tiff(GREY.astype(np.uint32), 32), "unsigned whole numbers of 32 bits"),
    "pfm": (b"Pf\n64 48\n-1.0\n" + GREY.astype("<f4").tobytes(), "floating-point numbers of 32 bits"),
    "white is zero": (tiff(deepened(GREY, 12), 16, (262, 0)), "a TIFF of 16 bits whose zero is white"),
    "jpeg": (b"\xff\xd8\xff\xc1\x00\x0b\x0c\x00\x30\x00\x40\x01\x01\x11\x00\xff\xd9", "a JPEG of 12 bits"),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_without_a_white_are_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Floating-point, signed and long samples, and those of which zero is white, are one sentence, by the header."""
    monkeypatch.setattr(cv2, "imdecode", _no_decoder)
    content, sentence = NUMBERS[kind]
    with pytest.raises(ImageError, match=sentence):
        read_raw(write(tmp_path / "a", content))


_JP2 = cv2.imencode(".jp2", COLOUR)[1].tobytes()
_SIZE = _JP2.index(b"\xff\x4f\xff\x51")
BOMBS = {
    "deep colour": png(deepened(COLOUR, 16)).replace(struct.pack(">II", 64, 48), struct.pack(">II", 11000, 11000), 1),
    "many channels": tiff(GREY, 8, (277, 60_000), (256, 20_000)),
    "many components": _JP2[:_SIZE + 40] + struct.pack(">H", 16_000) + _JP2[_SIZE + 42 :],
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_that_decodes_to_too_much_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few enough pixels, but too many bytes of them: refused by the header, with the size that it would have."""
    monkeypatch.setattr(cv2, "imdecode", _no_decoder)
    content = BOMBS[name]
    if name == "many components":
        content = content.replace(struct.pack(">II", 64, 48), struct.pack(">II", 4096, 4096), 1)
        content = content[: _SIZE + 8] + struct.pack(">II", 4096, 4096) + content[_SIZE + 16 :]
    with pytest.raises(ImageError, match=r"which take \d+ MiB, more than 512"):
        read_raw(write(tmp_path / "a", content))


def test_a_tile_counts_where_it_is_larger_than_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder holds a whole tile: a small TIFF of one huge tile is refused."""
    monkeypatch.setattr(cv2, "imdecode", _no_decoder)
    with pytest.raises(ImageError, match="more than 134 million"):
        read_raw(write(tmp_path / "a", tiff(GREY, 8, (322, 65_520), (323, 65_520))))

"""A picture is read as it is, or refused by what its header says, before a decoder sees it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from latentline.errors import ImageError
from latentline.vision.images import read_image
from latentline.vision.picture_end import is_whole
from latentline.vision.picture_header import FILE_LIMIT, picture_header

_IMAGE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (70, 96, 3), np.uint8), (0, 0), 2)
_KINDS = (".png", ".jpg", ".bmp", ".tif", ".webp", ".jp2", ".ppm", ".pgm")


def _encoded(kind: str, *parameters: int) -> bytes:
    image = _IMAGE[:, :, 0] if kind == ".pgm" else _IMAGE
    return cv2.imencode(kind, image, parameters)[1].tobytes()


@pytest.mark.parametrize("kind", _KINDS)
def test_the_header_says_the_size(kind: str, tmp_path: Path) -> None:
    """Width and height of each format are read from its first bytes, and the picture itself is read, too."""
    header = picture_header(_encoded(kind))
    assert header is not None and (header.width, header.height) == (96, 70)
    (tmp_path / f"a{kind}").write_bytes(_encoded(kind))
    assert read_image(tmp_path / f"a{kind}").shape[:2] == (70, 96)


@pytest.mark.parametrize(
    "parameters",
    [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 1), (cv2.IMWRITE_JPEG_OPTIMIZE, 1)],
)
def test_bytes_behind_the_end_are_no_fault(tmp_path: Path, parameters: tuple[int, ...]) -> None:
    """A JPEG or PNG with zeros, text or a second picture behind its end is whole, and reads as without them."""
    for kind in (".jpg", ".png"):
        content = _encoded(kind, *(parameters if kind == ".jpg" else ()))
        path = tmp_path / f"a{kind}"
        path.write_bytes(content)
        plain = read_image(path)
        for trailer in (bytes(4096), b"trailer " * 100, content, b"\xff" * 70, b"\xff\xd8\xff"):
            path.write_bytes(content + trailer)
            assert np.array_equal(read_image(path), plain)


@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_a_cut_file_is_not_whole(kind: str) -> None:
    """Wherever a JPEG or PNG is cut, also within the picture in its own header, it is cut short."""
    content = _encoded(kind)
    if kind == ".jpg":  # a thumbnail, whose end is not that of the picture
        content = content[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content + content[2:]
    assert is_whole(content)
    for length in range(9, len(content) - (1 if kind == ".jpg" else 8)):
        assert not is_whole(content[:length]), length


def _png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b""))
    packed = [struct.pack(">I", len(data)) + name + data for name, data in chunks]
    checks = [struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(a + b for a, b in zip(packed, checks, strict=True))


def _changed(kind: str, old: bytes, new: bytes) -> bytes:
    content = _encoded(kind)
    assert old in content
    return content.replace(old, new, 1)


_BOMBS = {
    "png": _png(30_000, 30_000),
    "png of one line": _png(2_000_000_000, 1),
    "bmp": _changed(".bmp", struct.pack("<ii", 96, 70), struct.pack("<ii", 40_000, -40_000)),
    "jpeg": _changed(".jpg", struct.pack(">HH", 70, 96), struct.pack(">HH", 65_000, 65_000)),
    "tiff": _changed(".tif", struct.pack("<HHIHH", 256, 3, 1, 96, 0), struct.pack("<HHII", 256, 4, 1, 1 << 30)),
    "jp2": _changed(".jp2", struct.pack(">II", 96, 70) + bytes(8), struct.pack(">II", 1 << 30, 1 << 20) + bytes(8)),
    "pgm": b"P5 # a comment\n60000 # another\n60000\n255\n",
    "bigtiff": b"II\x2b\0\x08\0\0\0" + struct.pack("<QQ", 16, 2)
    + struct.pack("<HHQQHHQQ", 256, 4, 1, 1 << 20, 257, 16, 1, 1 << 20),
}  # fmt: skip


@pytest.mark.parametrize("name", _BOMBS)
def test_a_picture_that_declares_too_much_is_not_decoded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More pixels than the limit are refused from the header, with the size that it declares."""

    def decode(*_: object) -> None:
        raise AssertionError("the decoder got it")

    monkeypatch.setattr(cv2, "imdecode", decode)
    (tmp_path / "bomb").write_bytes(_BOMBS[name])
    with pytest.raises(ImageError, match=r"declares \d+ x \d+ px, more than 134 million"):
        read_image(tmp_path / "bomb")


def test_a_sparse_picture_is_not_read(tmp_path: Path) -> None:
    """A file with a size of GiB and nothing on the disk takes no memory, whatever it begins with."""
    path = tmp_path / "sparse.bmp"
    path.write_bytes(_encoded(".bmp"))
    os.truncate(path, 4 << 30)
    code = (
        "import sys, resource; from pathlib import Path; from latentline.vision.images import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_image(Path(sys.argv[1]))\n"
        "except Exception as error: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    grown, _, sentence = done.stdout.partition(" ")
    assert int(grown) < 10_000 and f"has 4096 MiB, more than {FILE_LIMIT >> 20}" in sentence  # KiB


_FAR = b"II\x2b\0\x08\0\0\0" + b"\xff" * 8  # a BigTIFF whose tags are beyond any file


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff", b"BM", b"II*\0", b"RIFF0000WEBP", b"P5\n", b"P5 2 2 70000\n", _FAR, b"no picture"]
)
def test_a_broken_header_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """A file that ends within its header, or has none, is an ImageError."""
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"cut short|not an image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", _KINDS)
def test_any_bytes_have_a_header_or_none(kind: str) -> None:
    """Flipped and cut files raise nothing."""
    random, content = np.random.default_rng(1), _encoded(kind)
    for _ in range(200):
        harmed = bytearray(content[: random.integers(1, len(content))])
        harmed[random.integers(len(harmed))] = random.integers(256)
        picture_header(bytes(harmed))
        is_whole(bytes(harmed))

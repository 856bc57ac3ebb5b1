"""The bit depth of a set comes from all its pictures but those of the test, and a mix of depths is said."""

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from latentline.errors import DatasetError
from latentline.vision.preprocessing import Preprocessing
from tests.deep_pictures import deepened, png, significant, tiff, write
from trainer.data import found_depth
from trainer.data.found_depth import DeepPicture, bit_depth_of, with_bit_depth
from trainer.data.settings import FolderData
from trainer.data.sources import open_source

GREY = cv2.normalize(np.random.default_rng(0).integers(0, 256, (24, 32)), None, 0, 255, cv2.NORM_MINMAX)
GREY = GREY.astype(np.uint8)
Encode = Callable[[int], bytes]


def folder(root: Path, encode: Encode, count: int = 12) -> Path:
    """`count` normal images, the number `index` of which is `encode(index)`, and two to test."""
    for index in range(count):
        write(root / "train" / "good" / f"{index:02}.png", encode(index))
    for kind in ("good", "spot"):
        write(root / "test" / kind / "0.png", encode(count))
    return root


def found(root: Path) -> tuple[int | str, np.ndarray]:
    """The bit depth that is found, and the first image as it is then read."""
    source = open_source(FolderData(root=root), Preprocessing())
    split = source.split(0)
    preprocessing, source = with_bit_depth(Preprocessing(), source, split)
    return preprocessing.bit_depth, source.read("train/good/00.png")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_brightest_level_of_the_set_decides(bits: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The least depth of a camera that holds every grey level, said once; a dark image changes nothing."""
    root = folder(tmp_path, lambda i: png(deepened(GREY if i else GREY // 30, bits)))
    with caplog.at_level(logging.INFO):
        depth, image = found(root)
    assert depth == bits
    np.testing.assert_array_equal(image, GREY // 30)
    (line,) = [record.message for record in caplog.records if "bit_depth" in record.message]
    assert f"preprocessing.bit_depth: {bits}, because the brightest grey level of 12 pictures" in line


def test_no_test_image_decides(tmp_path: Path) -> None:
    """Brighter levels in the test images do not count: they are another matter than the training's."""
    root = folder(tmp_path, lambda i: png(deepened(GREY, 16 if i == 12 else 12)))
    assert found(root)[0] == 12


def test_a_set_of_eight_bits_is_not_decoded_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The headers of 8-bit pictures are enough, and the depth is 8."""
    root = folder(tmp_path, lambda _: png(GREY))
    monkeypatch.setattr(found_depth, "read_raw", lambda path: pytest.fail(f"{path} was decoded"))
    with caplog.at_level(logging.INFO):
        depth, image = found(root)
    assert depth == 8 and (image == GREY).all()
    assert "preprocessing.bit_depth: 8, because the files define it" in caplog.text


def test_a_format_that_defines_its_depth_gives_it(tmp_path: Path) -> None:
    """Of a dim set of packed TIFF files with 12 bits the depth is 12, for a station whose files say less."""
    assert found(folder(tmp_path, lambda _: tiff(deepened(GREY // 8, 12), 12)))[0] == 12


def test_pictures_of_eight_bits_beside_deep_ones_keep_their_scale(tmp_path: Path) -> None:
    """Each kind of picture is read by its own depth: the same scene gives the same image."""
    root = folder(tmp_path, lambda i: png(GREY) if i % 2 else png(deepened(GREY, 12)))
    source = open_source(FolderData(root=root), Preprocessing())
    preprocessing, source = with_bit_depth(Preprocessing(), source, source.split(0))
    assert preprocessing.bit_depth == 12
    assert all((source.read(f"train/good/{i:02}.png") == GREY).all() for i in range(12))


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_what_the_files_claim_is_believed_while_it_holds(kind: str, tmp_path: Path) -> None:
    """A dim set whose files claim 12 bits has 12. The same claim in files that hold more means nothing."""

    def claiming(image: np.ndarray) -> bytes:
        return significant(png(image), 12) if kind == "png" else tiff(image, 16, (281, 4095))

    assert found(folder(tmp_path / "dim", lambda _: claiming(deepened(GREY // 8, 12))))[0] == 12
    assert found(folder(tmp_path / "full", lambda _: claiming(deepened(GREY, 16))))[0] == 16


def test_two_claims_are_a_mix(tmp_path: Path) -> None:
    """Files that claim 10 bits beside files that claim 12: one sentence, with one of each."""
    root = folder(tmp_path, lambda i: significant(png(deepened(GREY // 4, 10)), 10 + 2 * (i % 2)))
    with pytest.raises(DatasetError, match=r"\.png says that it has 10 bits, and .*\.png 12; use pictures of one"):
        found(root)


@pytest.mark.parametrize(("low", "high"), [(8, 12), (10, 12), (12, 14), (12, 16), (8, 16)])
@pytest.mark.parametrize("few", ["low", "high", "neither"])
def test_a_mix_of_depths_is_said(low: int, high: int, few: str, tmp_path: Path) -> None:
    """A few pictures of more bits, as many of each, or a few of less: one sentence names both depths."""
    every = {"low": 4, "high": 12, "neither": 2}[few]  # 3, 1 and 6 of 12
    pictures = {True: deepened(GREY, high), False: deepened(GREY, low)}
    minority = few != "low"
    root = folder(tmp_path, lambda i: png(pictures[(i % every == 0) == minority]))
    with pytest.raises(DatasetError, match=rf"\({low} bits\), such as .* \({high} bits\), such as .* give preprocess"):
        found(root)


def test_highlights_are_no_mix() -> None:
    """Images with a highlight among images without one have one depth: their means are alike."""
    plain = [DeepPicture(f"{i}.png", 700 + i, 300.0 + i, None) for i in range(20)]
    shining = [DeepPicture(f"s{i}.png", 4095, 320.0, None) for i in range(5)]
    assert bit_depth_of([*plain, *shining], "here") == 12
    marked = DeepPicture("marked.png", 65535, 300.0, None)
    with pytest.raises(DatasetError, match=r"20 of 21 .*\(10 bits\).*\(16 bits\), such as marked.png"):
        bit_depth_of([*plain, marked], "here")
    black = [DeepPicture(f"b{i}.png", 3, 1.0, None) for i in range(9)]
    assert bit_depth_of([*plain, *black], "here") == 10
    graded = [DeepPicture(f"g{i}.png", 300 * (i + 1), 100.0 * (i + 1), None) for i in range(13)]
    assert bit_depth_of(graded, "here") == 12


def test_a_few_much_darker_pictures_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """A tenth of the set or less may be dark; it may also have fewer bits, so a warning names one of them."""
    bright = [DeepPicture(f"{i}.png", 4000, 2000.0, None) for i in range(20)]
    assert bit_depth_of([*bright, DeepPicture("dark.png", 250, 120.0, None)], "here") == 12
    assert "1 of 21 pictures of 16 bits reaches grey level 250 at most (8 bits), such as dark.png" in caplog.text


def test_a_number_is_taken_as_it_is(tmp_path: Path) -> None:
    """A user's depth is not measured; a set of 10 bits may be given 12."""
    given = Preprocessing(bit_depth=12)
    source = open_source(FolderData(root=folder(tmp_path, lambda _: png(deepened(GREY, 10)))), given)
    assert with_bit_depth(given, source, source.split(0)) == (given, source)
    np.testing.assert_array_equal(source.read("train/good/00.png"), GREY // 4)

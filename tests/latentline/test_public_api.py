"""A program that has images and a model package needs only `import latentline`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import latentline
from tests.paths import DEMO_MODEL

UInt8 = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def model() -> Iterator[latentline.Model]:
    with latentline.open_model(DEMO_MODEL, "openvino", threads=1) as opened:
        yield opened


def _picture(seed: int, *shape: int) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_the_public_names_are_these() -> None:
    """The public names are these, and each has a docstring; adding or removing one is a decision."""
    assert sorted(latentline.__all__) == [
        "BackendError",
        "Defect",
        "EngineError",
        "ImageError",
        "InspectionResult",
        "LatentlineError",
        "Model",
        "PackageError",
        "VerificationError",
        "open_model",
    ]
    assert all(getattr(latentline, name).__doc__ for name in latentline.__all__)
    assert set(dir(latentline)) == set(latentline.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'open_modle'"):
        _ = latentline.open_modle


def test_importing_the_package_loads_nothing_heavy() -> None:
    """`import latentline.errors` imports no OpenVINO, OpenCV, NumPy or PyTorch."""
    code = "import sys, latentline.errors; print({'openvino', 'cv2', 'torch', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_a_result_has_the_size_of_its_image(model: latentline.Model) -> None:
    """Map and reconstruction have the size of the image, grey or colour, and only an abnormal image has defects."""
    for shape in ((70, 90), (70, 90, 1), (70, 90, 3), (70, 90, 4)):
        result = model.inspect(_picture(0, *shape))
        assert np.isfinite(result.score) and result.threshold == model.threshold
        assert result.is_abnormal == (result.score > result.threshold) == bool(result.defects)
        assert result.anomaly_map.shape == (70, 90) and result.anomaly_map.dtype == np.float32
        assert result.reconstruction.shape == (70, 90, 1) and result.reconstruction.dtype == np.uint8


def test_a_16_bit_image_is_inspected_by_its_upper_bytes(model: latentline.Model) -> None:
    """A uint16 image gives the result of its upper bytes as uint8."""
    image = _picture(1, 64, 80)
    low = _picture(2, 64, 80).astype(np.uint16)
    sixteen = ((image.astype(np.uint16) << 8) | low).astype(np.uint16)
    assert model.inspect(sixteen).score == model.inspect(image).score


def test_many_images_give_their_results_in_order(model: latentline.Model) -> None:
    """`inspect_many` gives the results of `inspect`, in order and without leaving one out."""
    images = [_picture(seed, 64, 64 + 8 * seed) for seed in range(5)]
    one_by_one = [model.inspect(image).score for image in images]
    results = model.inspect_many(iter(images))
    assert [result.score for result in results] == one_by_one
    assert list(model.inspect_many([])) == []


@pytest.mark.parametrize("image", [np.zeros((64, 64), np.float32), np.zeros((3, 3), np.uint8), "part.png", None])
def test_anything_but_an_image_is_refused(model: latentline.Model, image: object) -> None:
    """Floats, tiny images, paths and None raise ImageError, and the model stays usable."""
    with pytest.raises(latentline.ImageError):
        model.inspect(image)  # type: ignore[arg-type]
    assert np.isfinite(model.inspect(_picture(0, 64, 64)).score)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    """A path that does not exist raises PackageError that names it; a str serves as well as a Path."""
    with pytest.raises(latentline.PackageError, match=r"nowhere\.zip"):
        latentline.open_model(str(tmp_path / "nowhere.zip"))

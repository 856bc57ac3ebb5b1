"""fp16 is measured on the CPU before anything is built, and refused when it would change the scores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.tensorrt.cache import EngineCache
from latentline.backends.tensorrt.fp16 import check as half_check
from latentline.backends.tensorrt.fp16.check import BOUND, HalfReport, check_half, measure_half
from latentline.backends.tensorrt.fp16.rounded_searcher import RoundedSearcher
from latentline.backends.tensorrt.gpu.supported import require_supported
from latentline.errors import VerificationError
from latentline.package.model_package import DISCRIMINATOR, ModelPackage
from tests.packages import scored


@pytest.fixture(scope="module")
def brief(demo: ModelPackage) -> ModelPackage:
    """The demo's model with two tiles to check and a short search."""
    test = replace(demo.selftest, **{name: array[:1] for name, array in vars(demo.selftest).items()})
    return replace(demo.with_iterations(4), selftest=test)


def overflowing(package: ModelPackage) -> ModelPackage:
    """A model whose discriminator has activations of about 1e5, which float32 holds and half does not."""
    model = onnx.load_from_string(package.graphs[DISCRIMINATOR])
    gain = 2.0**9
    factors = {"layers.0.weight": gain, "layers.1.weight": gain, "layers.2.weight": gain**-2}
    factors |= {"layers.0.bias": gain, "layers.1.bias": 0.0}
    for weight in model.graph.initializer:
        if weight.name in factors:
            array = numpy_helper.to_array(weight) * np.float32(factors[weight.name])
            weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    spread = replace(package, graphs={**package.graphs, DISCRIMINATOR: model.SerializeToString()})
    return replace(spread, model_hash="overflowing")


def test_the_float32_search_equals_the_cpu_backend(brief: ModelPackage) -> None:
    """The float32 search that fp16 is compared with equals that of the CPU backend."""
    tile = half_check._check_tiles(require_supported(brief), RoundedSearcher(brief, "fp32"))[1:]
    backend = OpenVinoSearcher(brief, threads=1)
    found, true = RoundedSearcher(brief, "fp32").search(tile), backend.search(tile)
    backend.close()
    fields = {name: array for name, array in vars(true).items() if array is not None}
    assert len(fields) == 7
    for name, expected in fields.items():
        error = np.linalg.norm(getattr(found, name) - expected) / np.linalg.norm(expected)
        assert error < 1e-2, name


def test_a_trunk_and_a_first_look_have_their_place_in_the_score(brief: ModelPackage) -> None:
    """The look is rounded as the search is, so it moves the score; a trunk is never in fp16 and is left out of it."""
    looked = scored(brief.with_tiles(2), "d_look", "trunk_distance")
    found = measure_half(looked)
    assert 1e-7 < found.median_score < BOUND
    assert measure_half(scored(brief.with_tiles(2), "d_look")) == found


def test_the_fp16_search_differs_and_stays_near(brief: ModelPackage) -> None:
    """Rounding changes every number, and the loss by less than 1 %."""
    report = measure_half(brief)
    assert report.tiles == 2
    assert 1e-6 < report.loss < 1e-2
    assert 1e-5 < report.gradient < 0.5
    assert 1e-6 < report.latent < 0.5
    assert 0 < report.median_score <= report.worst_score < np.inf


def test_the_demo_model_may_run_in_fp16(demo: ModelPackage, tmp_path: Path) -> None:
    """The demo's model passes the check with its whole search and self-test."""
    report = check_half(demo, EngineCache(tmp_path))
    assert report.tiles == 8 and report.median_score < BOUND


def test_a_model_that_overflows_in_half_is_refused(brief: ModelPackage, tmp_path: Path) -> None:
    """A model that overflows only in half is refused every time, and the sentence says what to use."""
    cache = EngineCache(tmp_path)
    for _ in range(2):
        with pytest.raises(VerificationError, match=r"^demo-brick: fp16 moves .*; use --precision fp32$"):
            check_half(overflowing(brief), cache)


def test_a_model_is_checked_once(brief: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second report comes from the cache, and another model is checked for itself."""
    searches = []
    monkeypatch.setattr(half_check, "BOUND", np.inf)  # two tiles and four steps say little about the model

    def counted(*given: Any) -> HalfReport:
        searches.append(given)
        return measure_half(*given)

    monkeypatch.setattr(half_check, "measure_half", counted)
    first, second = (check_half(brief, EngineCache(tmp_path)) for _ in range(2))
    assert first == second and len(searches) == 1
    check_half(replace(brief, model_hash="another"), EngineCache(tmp_path))
    assert len(searches) == 2


def test_progress_is_reported(brief: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long check reports how much is done."""
    monkeypatch.setattr(half_check, "PROGRESS_SECONDS", 0.0)
    lines: list[str] = []
    measure_half(brief, lines.append)
    assert len(lines) == 24 and all(line.startswith("fp16 check: ") for line in lines)
    assert any("100 % searched" in line for line in lines)

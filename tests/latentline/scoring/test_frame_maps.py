"""Maps beside a search: standardised on normal frames, joined into the anomaly map, weighed like all components."""

from dataclasses import dataclass

import numpy as np
import pytest

from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.scoring.calibrate import Calibrated, calibrate
from latentline.scoring.frame_maps import MapScales, largest
from latentline.trunk.maps import TrunkMaps
from latentline.trunk.reconstructor import TrunkReconstructor
from latentline.trunk.statistics import DISTANCE, VERDICT, TrunkStatistics
from tests.latentline.scoring.test_calibrate import TILER, FlatSearcher, frames

RATE = 0.1
RNG = np.random.default_rng(0)


@dataclass
class SpotExtractor:
    """Features of 4 x 7 positions, the contrast of each 10 px square; `blind`: noise that a bright spot weakens."""

    name: str = "spots"
    blind: bool = False
    closed: bool = False

    def features(self, frame: np.ndarray) -> np.ndarray:
        squares = frame.astype(np.float32).reshape(4, 10, 7, 10).transpose(0, 2, 1, 3)
        if self.blind:
            noise = np.random.default_rng(int(frame.sum())).normal(0, 1, (2, 4, 7))
            return np.asarray(noise * 30 / (float(frame.max()) - 120), np.float32)
        return np.stack([squares.max((2, 3)) / 10, squares.mean((2, 3)) / 10])

    def close(self) -> None:
        self.closed = True


def trunk(blind: bool = False, verdict: bool = False) -> TrunkMaps:
    extractor = SpotExtractor(blind=blind)
    some = np.stack([extractor.features(frame) for frame in frames(20, 8)])
    mean = some.mean((0, 2, 3), keepdims=False)[:, None, None]
    whitening = np.diag(1 / some.std((0, 2, 3)))[None].astype(np.float32)
    direction = np.array([1.0, 0.0], np.float32) if verdict else None
    return TrunkMaps(extractor, TrunkStatistics(mean.astype(np.float32), whitening, direction, located=False))


def calibrated(
    beside: TrunkMaps | None, spot: int = 30, abnormal: int = 30, weights: dict[str, float] | None = None
) -> Calibrated:
    return calibrate(
        FlatSearcher(),
        TILER,
        frames(20, 0),
        frames(39, 1),
        RATE,
        validation=frames(abnormal, 2, spot),
        weights=weights,
        beside=beside,
    )


def inspector(found: Calibrated, beside: TrunkMaps) -> Inspector:
    host = HostReconstructor(FlatSearcher(), TILER, found.statistics)
    return Inspector(TrunkReconstructor(host, beside, found.map_scales), found.calibration)


def test_a_map_that_tells_defects_gets_a_weight_and_one_that_does_not_gets_none() -> None:
    """Validation frames decide; a map without a weight has no scale, so that nobody computes it."""
    useful = calibrated(trunk())
    weights = {c.name: c.weight for c in useful.calibration.components}
    assert weights[DISTANCE] > 0.05 and set(useful.map_scales.scales) == {DISTANCE}
    assert useful.calibration.validation is not None
    assert useful.calibration.validation.component_auroc[DISTANCE] > 0.8
    useless = calibrated(trunk(blind=True), weights={"residual_1px": 1.0, "residual_2px": 1.0})
    assert DISTANCE not in {c.name for c in useless.calibration.components} and not useless.map_scales.scales


@pytest.mark.parametrize("abnormal", [0, 4])
def test_what_nobody_has_seen_help_has_no_weight(abnormal: int) -> None:
    """Without abnormal frames enough to fit weights the score is as without a trunk, whatever its prior weight."""
    prior = {"residual_1px": 1.0, "d_frame": 1.0, DISTANCE: 5.0}
    found, without = (calibrated(b, abnormal=abnormal, weights=prior) for b in (trunk(), None))
    assert not found.map_scales.scales and found.calibration.components == without.calibration.components
    assert found.calibration.threshold == without.calibration.threshold


def test_calibration_and_inspection_agree() -> None:
    """Each frame behind the threshold gets the same score again, and no normal map exceeds the map's promise."""
    beside = trunk(verdict=True)
    found = calibrated(beside)
    assert DISTANCE in found.map_scales.scales
    seen = [inspector(found, beside).inspect(frame) for frame in frames(39, 1)]
    assert np.allclose([result.score for result in seen], found.normal_scores, atol=1e-4)
    over = sum(float(result.anomaly_map.max()) > found.calibration.map_threshold + 1e-4 for result in seen)
    assert over <= RATE * 40


def test_its_map_joins_the_anomaly_map_and_its_value_the_others() -> None:
    """Where a spot is, the map is larger than without the trunk, nowhere smaller; the time is told."""
    beside = trunk()
    found = calibrated(beside)
    frame = frames(1, 5, 60)[0]
    alone = HostReconstructor(FlatSearcher(), TILER, found.statistics).reconstruct(frame)
    both = TrunkReconstructor(HostReconstructor(FlatSearcher(), TILER, found.statistics), beside, found.map_scales)
    joined = both.reconstruct(frame)
    raw = beside.raw_maps(frame)
    assert np.array_equal(joined.anomaly_map, np.maximum(alone.anomaly_map, found.map_scales.plane(raw, (40, 70))))
    assert joined.values == {**alone.values, DISTANCE: found.map_scales.values(raw)[DISTANCE]}
    assert joined.milliseconds["trunk"] >= 0 and (both.name, both.ahead) == ("flat", 1)
    both.close()
    assert isinstance(beside.extractor, SpotExtractor) and beside.extractor.closed


def test_the_papers_score_has_no_trunk() -> None:
    """It is L' alone, whatever stands beside the search."""
    found = calibrate(FlatSearcher(), TILER, frames(20, 0), frames(39, 1), RATE, score="paper", beside=trunk())
    assert [c.name for c in found.calibration.components] == ["loss"] and not found.map_scales.scales


def test_scales_are_those_of_all_positions() -> None:
    """Mean and standard deviation over frames and positions; a map of one number shows no place."""
    raw = [
        {"a": RNG.normal(5, 2, (6, 6)).astype(np.float32), VERDICT: np.full((1, 1), i, np.float32)} for i in range(9)
    ]
    scales = MapScales.of(raw)
    every = np.concatenate([maps["a"].ravel() for maps in raw])
    assert scales.scales["a"] == pytest.approx((every.mean(), every.std()), abs=1e-4)
    assert scales.scales[VERDICT] == pytest.approx((4.0, np.std(range(9))), abs=1e-4)
    shown = {**raw[0], VERDICT: np.full((1, 1), 1e6, np.float32)}
    plane = scales.plane(shown, (60, 48))
    assert plane.shape == (60, 48) and plane.min() >= 0 and plane.max() <= scales.peak(shown) < 100
    assert scales.values(shown)[VERDICT] > 1e5 and set(scales.only(["a"]).scales) == {"a"}


def test_value_is_the_mean_of_the_largest_twentieth() -> None:
    """Of a small map it is the largest value."""
    assert largest(np.arange(100, dtype=np.float32)) == 97.0
    assert largest(np.array([[3.0, 7.0], [1.0, 2.0]], np.float32)) == 7.0

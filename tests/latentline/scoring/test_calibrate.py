"""Calibration fixes weights and statistics on some frames, thresholds on others, and nothing on the rest."""

import numpy as np
import pytest

from latentline.errors import DatasetError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.scoring.calibrate import Calibrated, calibrate, weigh
from latentline.scoring.components import frame_components
from latentline.scoring.pixel_statistics import SCALES, pixel_statistics
from latentline.scoring.thresholds import promise, threshold
from latentline.search.searched_frame import MapKind, SearchedFrame
from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing, to_model_range

UInt8 = np.ndarray
TILER = FrameTiler(Preprocessing(), 32, 0.25)
SPOT = 12  # grey levels: hard to see in the noise


class FlatSearcher:
    """Reconstructs every tile as its own mean, with the scores of a GAN with a patch head, or without any.

    d_reconstruction hardly changes, d_frame is noise, and the patch head responds to brightness.
    """

    name = "flat"

    def __init__(self, gan: bool = True) -> None:
        self._gan = gan

    def search(self, tiles: UInt8) -> SearchResult:
        x = to_model_range(tiles)
        z = x.mean((1, 2, 3), keepdims=True)
        flat = np.broadcast_to(z, x.shape).astype(np.float32)
        if not self._gan:
            return SearchResult(z=z[:, :, 0, 0], reconstruction=flat)
        noise = np.modf(1e4 * np.abs(x[:, 0, 3, 5] + x[:, 0, 9, 2]))[0].astype(np.float32)
        return SearchResult(
            z=z[:, :, 0, 0],
            reconstruction=flat,
            feature_residual=np.abs(x - flat).sum((1, 2, 3)),
            logit_reconstruction=1e-3 * noise,
            logit_frame=noise,
            loss=np.abs(x - flat).sum((1, 2, 3)) + 7,
            patch_logits=-x[:, 0].reshape(len(x), 8, 4, 8, 4).mean((2, 4)),
        )

    def close(self) -> None:
        """Nothing to release."""


def frames(count: int, seed: int, spot: int = 0) -> list[UInt8]:
    """Noise around grey, with a 4 px spot that is `spot` grey levels brighter."""
    rng = np.random.default_rng(seed)
    made = rng.normal(128, 6, (count, 40, 70))
    for frame in made:
        y, x = rng.integers(4, 32), rng.integers(4, 60)
        frame[y : y + 4, x : x + 4] += spot
    return list(np.clip(made, 0, 255).astype(np.uint8))


def calibrated(abnormal: int = 0, gan: bool = True, kind: MapKind = "residual", made: int = 0) -> Calibrated:
    return calibrate(
        FlatSearcher(gan),
        TILER,
        frames(20, 0),
        frames(39, 1),
        0.05,
        map=kind,
        validation=frames(abnormal, 2, SPOT),
        synthetic=frames(made, 3, SPOT),
    )


def test_without_abnormal_frames_fine_components_weigh_the_same() -> None:
    """Without abnormal frames, coarse maps and the loss get no weight, and all other components the same."""
    found = calibrated().calibration
    names = [c.name for c in found.components]
    assert names == [
        "feature",
        "d_reconstruction",
        "d_frame",
        "residual_1px",
        "residual_2px",
        "residual_4px",
        "d_patch",
    ]
    np.testing.assert_allclose([c.weight for c in found.components], 1 / 7)
    assert found.validation is None


def test_abnormal_frames_fix_the_weights() -> None:
    """Components that see the spot gain weight, noise loses it, maps without weight go, and unseen frames separate."""
    found = calibrated(abnormal=30, made=12)
    weights = {c.name: c.weight for c in found.calibration.components}
    why = found.calibration.validation
    assert why is not None and (why.normals, why.abnormals, why.synthetic) == (20, 30, 12)
    assert sum(weights.values()) == pytest.approx(1) and weights.get("d_frame", 0) < 1 / 7
    assert weights["residual_1px"] + weights["residual_2px"] + weights.get("d_patch", 0) > 0.5
    assert not set(why.dropped) & set(weights) and set(why.dropped) | set(weights) == set(why.component_auroc)
    assert set(found.statistics.names) <= set(weights)
    assert why.fitted_auroc is not None and why.fitted_auroc > 0.98
    inspector = Inspector(HostReconstructor(FlatSearcher(), TILER, found.statistics), found.calibration)
    scores = [[inspector.inspect(f).score for f in frames(20, 5, spot)] for spot in (0, 30)]
    assert max(scores[0]) < np.quantile(scores[1], 0.2)
    assert sum(s > found.calibration.threshold for s in scores[1]) >= 18


def test_defects_of_the_kinds_of_a_training_are_weighed_by_and_not_watched() -> None:
    """They change weights, they count in no figure, and who watches the maps of labelled frames does not get theirs."""
    watched: list[UInt8] = []
    sets = FlatSearcher(), TILER, frames(20, 0)
    made = [np.where(np.arange(70) < 20, 255 - f, f).astype(np.uint8) for f in frames(12, 0, SPOT)]
    found = weigh(*sets, synthetic=made, shown=frames(12, 0, 90), watch=lambda _, maps: watched.append(maps))
    alone = weigh(*sets, synthetic=made)
    why = found.calibrated.calibration.validation
    assert len(watched) == 32 and why is not None and (why.normals, why.synthetic) == (20, 12)
    assert found.calibrated.calibration.components != alone.calibrated.calibration.components


@pytest.mark.parametrize("abnormal", [0, 12])
def test_thresholds_come_from_the_other_frames_alone(abnormal: int) -> None:
    """Thresholds are conformal, from scores and map peaks of frames that nothing else has used."""
    found = calibrated(abnormal)
    inspector = Inspector(HostReconstructor(FlatSearcher(), TILER, found.statistics), found.calibration)
    seen = [inspector.inspect(frame) for frame in frames(39, 1)]
    np.testing.assert_allclose(found.normal_scores, [s.score for s in seen], rtol=1e-5)
    each, promised = [str(i) for i in range(39)], promise(39, 39, 0.05)
    assert found.calibration.promise == promised
    assert found.calibration.threshold == threshold(found.normal_scores, each, promised)
    peaks = np.array([float(s.anomaly_map.max()) for s in seen])
    assert found.calibration.map_threshold == pytest.approx(threshold(peaks, each, promised), rel=1e-5)
    other = calibrate(FlatSearcher(), TILER, frames(20, 0), frames(39, 9), 0.05, validation=frames(abnormal, 2, SPOT))
    assert other.calibration.components == found.calibration.components


def test_scored_parts_count_in_the_thresholds() -> None:
    """With enough parts both thresholds promise something about new parts; with few, the calibration says so."""
    parts = [str(min(i, 20)) for i in range(39)]
    sets = (FlatSearcher(), TILER, frames(20, 0), frames(39, 1), 0.05)
    found = calibrate(*sets, scored_parts=parts)
    promised = found.calibration.promise
    assert promised is not None and (promised.images, promised.parts, promised.new_parts) == (39, 21, True)
    assert found.calibration.threshold == threshold(found.normal_scores, parts, promised)
    few = calibrate(*sets, scored_parts=["one"] * 39).calibration.promise
    assert few is not None and not few.new_parts and few.missing_parts == 18


def test_a_smooth_tail_calibrates_with_fewer_frames() -> None:
    """Twelve frames promise 2 % with it, and not without."""
    sets = (FlatSearcher(), TILER, frames(20, 0), frames(12, 1), 0.02)
    found = calibrate(*sets, tail="smooth")
    assert found.calibration.promise is not None and found.calibration.promise.tail == "smooth"
    assert found.calibration.threshold > found.normal_scores.max()
    with pytest.raises(DatasetError, match="option --threshold smooth"):
        calibrate(*sets)


def test_a_component_that_hardly_changes_does_not_dominate() -> None:
    """The standard deviation of a component is at least a fifth."""
    (steady,) = (c for c in calibrated().calibration.components if c.name == "d_reconstruction")
    assert steady.std == pytest.approx(0.2)


def test_the_paper_score_is_the_loss_itself() -> None:
    """The score is exactly L' of the worst tile, and the map is |x − G(ẑ)|, not pooled."""
    found = calibrate(FlatSearcher(), TILER, frames(20, 0), frames(39, 1), 0.05, score="paper")
    inspector = Inspector(HostReconstructor(FlatSearcher(), TILER, found.statistics), found.calibration)
    frame = frames(1, 7, spot=40)[0]
    searched = TILER.search(FlatSearcher(), frame)
    assert inspector.inspect(frame).score == float(searched.result.loss.max())  # type: ignore[union-attr]
    assert found.statistics.names == ("residual_0px",) and found.statistics.patch_statistics is None
    y, x = np.unravel_index(np.argmax(inspector.inspect(frame).anomaly_map), frame.shape)
    assert frame[y - 1 : y + 2, x - 1 : x + 2].max() > 150
    with pytest.raises(DatasetError, match="score calibrated"):
        calibrate(FlatSearcher(gan=False), TILER, frames(20, 0), frames(39, 1), 0.05, score="paper")


@pytest.mark.parametrize("kind", ["residual", "l2", "ssim"])
def test_a_method_without_a_discriminator_is_scored_by_its_maps(kind: MapKind) -> None:
    """Without a discriminator, all components are maps of the chosen kind, and the map finds the spot."""
    found = calibrated(abnormal=12, gan=False, kind=kind)
    assert all(c.name.startswith(f"{kind}_") for c in found.calibration.components)
    inspector = Inspector(HostReconstructor(FlatSearcher(gan=False), TILER, found.statistics), found.calibration)
    frame = frames(1, 11)[0]
    frame[20:26, 30:36] = 220
    (defect, *_) = inspector.inspect(frame).defects
    x, y, width, height = defect.bbox
    assert x <= 33 < x + width and y <= 23 < y + height


def test_one_map_is_always_kept() -> None:
    """When the weights need no map, the one with the best AUROC is kept to locate defects."""
    found = calibrate(FlatSearcher(), TILER, frames(20, 0), frames(39, 1), 0.05, weights={"d_frame": 1})
    assert [(c.name, c.weight) for c in found.calibration.components] == [("d_frame", 1.0)]
    assert found.statistics.names == ("residual_1px",)
    known = {"d_frame": 1, "feature": 1}
    found = calibrate(
        FlatSearcher(), TILER, frames(20, 0), frames(39, 1), 0.05, weights=known, validation=frames(4, 2, 10)
    )
    why = found.calibration.validation
    assert why is not None and [c.name for c in found.calibration.components] == ["feature", "d_frame"]
    maps = {name: value for name, value in why.component_auroc.items() if name.startswith("residual")}
    assert found.statistics.names == (max(maps, key=lambda name: maps[name]),)


def test_pooled_maps_of_normal_frames_have_unit_mean_square() -> None:
    """On the frames behind the statistics, the mean square of each pooled map is 1."""
    searched: list[SearchedFrame] = [TILER.search(FlatSearcher(), f) for f in frames(12, 4)]
    kinds: tuple[MapKind, ...] = ("residual", "l2", "ssim")
    for kind in kinds:
        known = pixel_statistics(searched, SCALES, kind)
        squares = np.mean([np.square(known.planes(e)).mean((1, 2)) for e in searched], axis=0)
        np.testing.assert_allclose(squares, 1, rtol=0.02)


def test_a_frames_border_raises_no_alarm() -> None:
    """Two pixels along the border count for nothing, and a defect that reaches further counts."""
    searched = [TILER.search(FlatSearcher(), f) for f in frames(12, 4)]
    known = pixel_statistics(searched, (1.0,), "residual")
    clean, border, deep = frames(3, 5)
    border[:2], deep[:8, 30:38] = 255, 255

    def peak(frame: UInt8) -> float:
        seen = TILER.search(FlatSearcher(), frame)
        return frame_components(seen, known.maps(seen), known)["residual_1px"]

    assert peak(deep) > peak(border) and peak(deep) > peak(clean) + 1

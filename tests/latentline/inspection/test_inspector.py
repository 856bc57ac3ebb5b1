"""The inspector finds a planted defect where it is, in pixels of the camera's frame."""

import numpy as np
import pytest

from latentline.errors import DatasetError, ImageError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.inspection.panels import draw_panel
from latentline.scoring.calibrate import calibrate
from latentline.scoring.defects import MOST_DEFECTS, find_defects
from latentline.scoring.maps import pool
from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing, to_model_range


class MeanSearcher:
    """Reconstructs every tile as flat grey 128."""

    name = "mean"

    def search(self, tiles: np.ndarray) -> SearchResult:
        x = to_model_range(tiles)
        n = len(tiles)
        off = np.abs(x).sum((1, 2, 3)).astype(np.float32)
        zeros = np.zeros(n, np.float32)
        flat = np.full_like(x, 128 / 127.5 - 1)
        return SearchResult(
            feature_residual=off,
            logit_reconstruction=zeros,
            logit_frame=-off / 50,
            loss=off,
            z=np.zeros((n, 4), np.float32),
            reconstruction=flat,
        )

    def close(self) -> None:
        """Nothing to release."""


def frames(count: int, shape: tuple[int, ...] = (80, 100)) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [np.clip(rng.normal(128, 6, shape), 0, 255).astype(np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    tiler = FrameTiler(Preprocessing(), 32, 0.25)
    normals = frames(59)
    calibrated = calibrate(MeanSearcher(), tiler, normals[:20], normals[20:], 0.05)
    return Inspector(HostReconstructor(MeanSearcher(), tiler, calibrated.statistics), calibrated.calibration)


@pytest.mark.parametrize("shape", [(80, 100), (33, 200), (20, 24), (80, 100, 1), (80, 100, 3), (80, 100, 4)])
def test_a_planted_defect_is_found_where_it_is(inspector: Inspector, shape: tuple[int, ...]) -> None:
    """The box with the strongest defect covers the planted square, in frames of any size and channel count."""
    frame = frames(1, shape)[0]
    frame[6:14, 9:19] = 200
    result = inspector.inspect(frame)
    assert result.is_abnormal and result.anomaly_map.shape == shape[:2]
    x, y, w, h = result.defects[0].bbox
    assert result.defects[0].source == "map" and x <= 13 < x + w and y <= 9 < y + h
    assert w <= 20 and h <= 18 and result.defects[0].peak > inspector.calibration.map_threshold
    assert draw_panel(frame, result).ndim == 3


def test_a_normal_frame_has_no_defects(inspector: Inspector) -> None:
    """Normal frames exceed the threshold about as often as promised, and below the threshold they have no defects."""
    rng = np.random.default_rng(9)
    results = [inspector.inspect(np.clip(rng.normal(128, 6, (80, 100)), 0, 255).astype(np.uint8)) for _ in range(100)]
    # 5 % are promised. More than 15 have a probability below 1e-3, even after an unlucky calibration.
    assert sum(result.is_abnormal for result in results) <= 15
    assert all(not result.defects for result in results if not result.is_abnormal)


def test_a_scaled_frame_has_boxes_in_its_own_pixels() -> None:
    """With preprocessing.height, a box is in pixels of the camera's frame."""
    tiler = FrameTiler(Preprocessing(height=40), 32, 0.25)
    normals = frames(60, (160, 200))
    calibrated = calibrate(MeanSearcher(), tiler, normals[:20], normals[20:], 0.05)
    frame = frames(1, (160, 200))[0]
    frame[100:130, 40:80] = 220
    result = Inspector(HostReconstructor(MeanSearcher(), tiler, calibrated.statistics), calibrated.calibration).inspect(
        frame
    )
    x, y, w, h = result.defects[0].bbox
    assert x <= 60 <= x + w and y <= 115 <= y + h and 20 < w < 80 and 15 < h < 70


def test_an_abnormal_frame_without_an_abnormal_pixel_names_its_tile(inspector: Inspector) -> None:
    """When a frame is abnormal but no pixel is, the defect is the tile that caused the score."""
    blind = Inspector(inspector.reconstructor, inspector.calibration.model_copy(update={"map_threshold": 1e9}))
    frame = frames(1)[0]
    frame[60:78, 80:98] = 190
    (defect,) = blind.inspect(frame).defects
    x, y, w, h = defect.bbox
    assert defect.source == "tile" and (w, h) == (32, 32) and x <= 89 < x + w and y <= 69 < y + h


def test_frames_searched_together_get_their_own_results() -> None:
    """Frames of several sizes that are searched together get the results that each gets alone."""
    tiler = FrameTiler(Preprocessing(), 32, 0.25)
    normals = frames(59)
    calibrated = calibrate(MeanSearcher(), tiler, normals[:20], normals[20:], 0.05)
    calls: list[int] = []

    class CountingSearcher(MeanSearcher):
        def search(self, tiles: np.ndarray) -> SearchResult:
            calls.append(len(tiles))
            return super().search(tiles)

    ahead = Inspector(
        HostReconstructor(CountingSearcher(), tiler, calibrated.statistics, ahead=4), calibrated.calibration
    )
    several = [frames(1, shape)[0] for shape in ((80, 100), (40, 33), (32, 32), (90, 70))]
    several[2][5:15, 5:15] = 250
    finish = [ahead.begin(frame) for frame in several]
    together = [finish[i]() for i in (0, 2, 3)]
    assert len(calls) == 1
    alone = Inspector(HostReconstructor(MeanSearcher(), tiler, calibrated.statistics), calibrated.calibration)
    for result, frame in zip(together, (several[0], several[2], several[3]), strict=True):
        expected = alone.inspect(frame)
        assert result.score == pytest.approx(expected.score) and result.tiles == expected.tiles
        assert np.allclose(result.anomaly_map, expected.anomaly_map)
    assert calls == [sum(alone.inspect(frame).tiles for frame in several)]


def test_a_result_agrees_with_any_threshold(inspector: Inspector) -> None:
    """By a threshold just below a normal score there is a defect; by one above an abnormal score there is none."""
    normal, abnormal = frames(2)
    abnormal[6:14, 9:19] = 200
    limit = inspector.calibration.map_threshold
    quiet, loud = inspector.inspect(normal), inspector.inspect(abnormal)
    assert not quiet.defects and loud.defects
    (tile,) = quiet.at_threshold(quiet.score - 1e-6, limit).defects
    assert (tile.source, tile.bbox) == ("tile", quiet.worst_tile)
    assert loud.at_threshold(loud.score, limit).defects == ()
    assert loud.at_threshold(loud.threshold, limit).defects == loud.defects


def test_an_unusable_frame_is_an_image_error(inspector: Inspector) -> None:
    """A frame with two channels raises ImageError."""
    with pytest.raises(ImageError):
        inspector.inspect(np.zeros((10, 10, 2), np.uint8))


def test_too_few_normals_cannot_calibrate() -> None:
    """Calibration with too few normal images fails, and the sentence says how many it needs."""
    with pytest.raises(DatasetError, match="at least 8 normal images"):
        calibrate(MeanSearcher(), FrameTiler(Preprocessing(), 32, 0.25), frames(3), frames(30), 0.05)


def test_defects_are_connected_regions_strongest_first() -> None:
    """Regions come strongest first with exact area, box, peak and mean; touching corners make one region."""
    plane = np.zeros((20, 30), np.float32)
    plane[2:5, 3:8] = 4
    plane[5, 8] = 6
    plane[12:14, 20:22] = 9
    first, second = find_defects(plane, 3.0)
    assert (first.bbox, first.area, first.peak, first.mean) == ((20, 12, 2, 2), 4, 9.0, 9.0)
    assert (second.bbox, second.area, second.peak) == ((3, 2, 6, 4), 16, 6.0)
    assert second.mean == pytest.approx((15 * 4 + 6) / 16)
    assert all(3 <= x <= 8 and 2 <= y <= 5 for x, y in second.polygon)


def test_the_tails_of_a_strong_defect_do_not_widen_its_box() -> None:
    """A blurred square of any strength gets about its own box, and a weaker region beside it keeps its box."""
    square = np.zeros((64, 64), np.float32)
    square[28:36, 28:36] = 1
    blurred = pool(square[:, :, None], 3.0)[:, :, 0]
    for strength in (20, 2000):
        plane = strength * blurred
        plane[4:7, 4:7] = 5
        first, second = find_defects(plane, 3.0)
        assert all(24 <= v <= 29 for v in first.bbox[:2]) and all(7 <= v <= 16 for v in first.bbox[2:])
        assert second.bbox == (4, 4, 3, 3)


def test_the_number_of_defects_is_limited() -> None:
    """A frame with many regions gives MOST_DEFECTS defects."""
    plane = np.zeros((64, 64), np.float32)
    plane[::4, ::4] = 5
    assert len(find_defects(plane, 1.0)) == MOST_DEFECTS

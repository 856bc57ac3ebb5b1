"""Only the tiles that look most suspicious are searched; the others keep the first look's word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.errors import BackendError, PackageError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.package.model_package import FIRST_LOOK, ModelPackage, load_package
from latentline.scoring.calibrate import Calibrated, calibrate
from latentline.scoring.maps import pool
from latentline.scoring.pixel_statistics import pixel_statistics
from latentline.search.first_look import FirstLook, least_normal, look_frame, look_shape
from latentline.search.regions import regions
from latentline.search.searched_frame import MapKind
from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from latentline.vision.tiles import TilePlan
from tests.latentline.inspection.test_inspector import MeanSearcher, frames
from tests.packages import edit_manifest, tiny_model, write_random_package

ALL = FrameTiler(Preprocessing(), 32, 0.25)
SOME = replace(ALL, most=2)


class LookingMeanSearcher(MeanSearcher):
    """Takes a tile with a bright pixel for suspicious; remembers how many tiles each search had."""

    def __init__(self) -> None:
        self.searched: list[int] = []

    def look(self, prepared: np.ndarray) -> FirstLook:
        """The brightest pixel of each window, and of each patch of 8 x 8 px."""
        x = -look_frame(prepared, 32)[..., 0].astype(np.float32)
        height, width = x.shape
        windows = sliding_window_view(x, (32, 32))[::8, ::8]
        return FirstLook(windows.min((2, 3)), x.reshape(height // 8, 8, width // 8, 8).min((1, 3)))

    def search(self, tiles: np.ndarray) -> SearchResult:
        self.searched.append(len(tiles))
        return replace(super().search(tiles), patch_logits=np.full((len(tiles), 4, 4), 7, np.float32))


def spotted() -> np.ndarray:
    """Noise with a bright spot in its lower right corner, which one tile shows."""
    frame = frames(1)[0]
    frame[70:76, 92:98] = 250
    return frame


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    normals = frames(59)
    return calibrate(LookingMeanSearcher(), SOME, normals[:20], normals[20:], 0.05)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_random_package(tmp_path_factory.mktemp("look") / "package", tiny_model())


def test_the_least_normal_tiles_are_chosen_and_of_equal_ones_the_first() -> None:
    """Indices ascend; where there are fewer tiles than asked for, all are chosen."""
    logit = np.array([3, -1, 2, -1, -1, 5], np.float32)
    assert least_normal(logit, 2).tolist() == [1, 3]
    assert least_normal(logit, 4).tolist() == [1, 2, 3, 4]
    assert least_normal(logit, 99).tolist() == [0, 1, 2, 3, 4, 5]


def test_each_frame_has_a_fixed_number_of_searched_tiles(calibrated: Calibrated) -> None:
    """Two tiles of every frame are searched, of several frames together too; of a frame with one tile, that one."""
    searcher = LookingMeanSearcher()
    several = [*frames(2), frames(1, (20, 24))[0]]
    alone = [SOME.search(searcher, frame) for frame in several]
    assert searcher.searched == [SOME.count(frame) for frame in several] == [2, 2, 1]
    host = HostReconstructor(searcher, SOME, calibrated.statistics, ahead=3)
    finish = [host.begin(frame) for frame in several]
    for found, expected in zip([finished() for finished in finish], alone, strict=True):
        assert expected.chosen is not None and found.searched_tiles == expected.chosen.tolist()
        assert found.milliseconds.keys() == {"preprocess", "look", "search", "map"}
    assert searcher.searched[3:] == [5]


def test_where_nothing_was_searched_the_frame_is_as_normal_as_it_looked(calibrated: Calibrated) -> None:
    """There the difference is that of a normal frame, the patch map is the look's, and the picture is the frame."""
    searched = SOME.search(LookingMeanSearcher(), spotted())
    assert searched.chosen is not None and len(searched.plan.corners) - 1 in searched.chosen
    share = searched.searched_share()
    assert share is not None and share.min() >= 0 and share.max() <= 1
    unseen, whole = share == 0, share == 1
    assert unseen.any() and whole.any()
    statistics = replace(calibrated.statistics, scales=(0.0,), pooled_std=np.ones(1, np.float32))
    plane = statistics.only([statistics.names[0]]).maps(searched)[0]
    assert not plane[unseen].any() and plane[whole].max() > 3
    patches = searched.patch_map()
    assert patches is not None and (patches > 100).all(), "the search's patches, all 7, have no say"
    picture = HostReconstructor(LookingMeanSearcher(), SOME, calibrated.statistics).reconstruct(spotted())
    assert np.array_equal(picture.reconstruction[unseen, 0], spotted()[unseen])
    assert (picture.reconstruction[whole] == 128).all()


@pytest.mark.parametrize("kind", ["residual", "l2"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_maps_are_pooled_around_searched_tiles_as_if_everywhere(kind: MapKind, scale: float) -> None:
    """A plane is to rounding what pooling the whole frame gives, zeros included; also where regions meet."""
    tiler = replace(ALL, most=3)
    frame = frames(1, (300, 420))[0]
    frame[10:12, 28:30] = frame[280:282, 400:402] = 250  # two tiles show the one, and one the other
    searched = tiler.search(LookingMeanSearcher(), frame)
    known = pixel_statistics([searched], (scale,), kind)
    blended = searched.blend(((searched.difference(kind) - known.mean) / known.std).transpose(0, 2, 3, 1))
    whole = pool(blended, scale)[:, :, 0] / known.pooled_std[0]
    np.testing.assert_allclose(known.planes(searched)[0], np.abs(whole) if kind == "residual" else whole, atol=1e-5)
    assert len(searched.regions(0)) == 2


@given(st.lists(st.tuples(st.integers(0, 68), st.integers(0, 88)), min_size=1, max_size=9), st.integers(0, 40))
def test_regions_share_no_pixel_and_hold_all_tiles_with_their_surroundings(
    corners: list[tuple[int, int]], reach: int
) -> None:
    """Tiles of 32 px in a frame of 100 x 120 px: every pixel within reach of one is in exactly one box."""
    covered, wanted = np.zeros((100, 120), int), np.zeros((100, 120), np.bool_)
    for top, bottom, left, right in regions(corners, 32, reach, (100, 120)):
        covered[top:bottom, left:right] += 1
    for y, x in corners:
        wanted[max(0, y - reach) : y + 32 + reach, max(0, x - reach) : x + 32 + reach] = True
    assert covered.max() == 1 and covered[wanted].all()


def test_a_defect_in_a_searched_tile_is_found_and_the_worst_tile_is_a_searched_one(calibrated: Calibrated) -> None:
    """The result counts the searched tiles, and names the defect's tile in pixels of the frame."""
    inspector = Inspector(HostReconstructor(LookingMeanSearcher(), SOME, calibrated.statistics), calibrated.calibration)
    result = inspector.inspect(spotted())
    assert result.is_abnormal and result.tiles == 2 and result.worst_tile == (68, 48, 32, 32)
    x, y, w, h = result.defects[0].bbox
    assert x <= 94 < x + w and y <= 72 < y + h


def test_the_look_s_map_is_shown_even_where_it_has_no_weight() -> None:
    """Nothing else shows the tiles that are not searched; where all are, a map without a weight is left out."""
    normals, alone = frames(59), {"residual_1px": 1.0}
    some, every = (
        calibrate(LookingMeanSearcher(), tiler, normals[:20], normals[20:], 0.05, weights=alone)
        for tiler in (SOME, ALL)
    )
    assert [component.name for component in some.calibration.components] == ["residual_1px"]
    assert some.statistics.names == ("residual_1px", "d_patch") and every.statistics.names == ("residual_1px",)


def test_calibration_scores_frames_as_the_station_does(calibrated: Calibrated) -> None:
    """The scores behind the threshold are to the bit those that an inspection gives: the promise holds for k tiles."""
    inspector = Inspector(HostReconstructor(LookingMeanSearcher(), SOME, calibrated.statistics), calibrated.calibration)
    scores = [inspector.inspect(frame).score for frame in frames(59)[20:]]
    assert scores == calibrated.normal_scores.tolist()


def test_the_scale_of_a_map_does_not_depend_on_how_much_is_not_searched() -> None:
    """Pooled deviations are of searched pixels: frames with twelve times as many tiles have no smaller ones."""
    small = frames(20, (40, 40))
    large = [np.tile(frame, (3, 4)) for frame in small]
    normals = frames(39, (40, 40))
    of_small, of_large = (
        calibrate(LookingMeanSearcher(), SOME, some, normals, 0.05).statistics.pooled_std[0] for some in (small, large)
    )
    assert of_large == pytest.approx(of_small, rel=0.3)


def test_a_searcher_that_cannot_look_is_refused_with_a_sentence() -> None:
    """It says which searcher, and which setting searches all tiles."""
    with pytest.raises(BackendError, match=r"searcher mean cannot look .*set search\.tiles: all"):
        SOME.search(MeanSearcher(), frames(1)[0])


def test_the_first_look_at_a_frame_of_one_tile_is_the_verdict_of_the_search(package: ModelPackage) -> None:
    """Without mirror images; a frame that is smaller is continued to one tile for both."""
    searcher, size = OpenVinoSearcher(package, threads=2), package.spec.tile_size
    for shape in ((size, size), (size - 5, size - 3)):
        tiled = package.tiler.tile(frames(1, shape)[0])
        look, found = searcher.look(tiled.prepared), searcher.search(tiled.tiles)
        assert found.logit_frame is not None and look.logit.shape == (1, 1)
        np.testing.assert_allclose(look.logit[0], found.logit_frame, rtol=1e-5, atol=1e-6)
    searcher.close()


@given(height=st.integers(5, 200), width=st.integers(5, 200), size=st.sampled_from([8, 32, 64]))
def test_a_first_look_sees_the_frame_in_whole_steps(height: int, width: int, size: int) -> None:
    """A quarter of a tile each, as few as there can be, and nothing of the frame itself changes."""
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 1), np.uint8)
    seen = look_frame(frame, size)
    assert seen.shape[:2] == look_shape(height, width, size)
    assert np.array_equal(seen[:height, :width], frame)
    for side, whole in zip((height, width), seen.shape[:2], strict=True):
        assert whole % (size // 4) == 0 and whole - side < max(size // 4, size - side + 1)


@given(st.integers(32, 150), st.integers(32, 150), st.floats(0, 0.8))
def test_a_tile_looks_as_the_windows_around_its_corner(height: int, width: int, overlap: float) -> None:
    """Of windows whose logits rise evenly down and across the frame, a tile's is the logit of its corner's place."""
    rows, columns = (side // 8 - 3 for side in look_shape(height, width, 32))
    plan = TilePlan.cover(height, width, 32, overlap)
    look = FirstLook((8 * np.add.outer(3 * np.arange(rows), np.arange(columns))).astype(np.float32))
    np.testing.assert_allclose(look.of_tiles(plan), [3 * y + x for y, x in plan.corners], rtol=1e-5)


@pytest.mark.parametrize("shape", [(16, 40), (9, 12)])
def test_more_tiles_than_a_frame_has_are_all_searched(package: ModelPackage, shape: tuple[int, int]) -> None:
    """Score, map and picture are those of all tiles, also of a frame smaller than a tile."""
    searcher = OpenVinoSearcher(package, threads=1)
    frame = frames(1, shape)[0]
    every = package.inspector(searcher).inspect(frame)
    most = package.with_tiles(50).inspector(searcher).inspect(frame)
    searcher.close()
    assert most.tiles == every.tiles
    assert most.score == pytest.approx(every.score, rel=1e-5)
    np.testing.assert_allclose(most.anomaly_map, every.anomaly_map, rtol=1e-4, atol=1e-4)
    assert np.array_equal(most.reconstruction, every.reconstruction)


def test_an_older_package_searches_all_tiles_and_says_how_to_have_a_first_look(tmp_path: Path) -> None:
    """Without first_look.onnx a package runs as before; asked for fewer tiles, it says how to export it again."""
    write_random_package(tmp_path / "package", tiny_model())
    (tmp_path / "package" / FIRST_LOOK).unlink()

    def as_before(manifest: dict[str, dict[str, object]]) -> None:
        del manifest["first_look"], manifest["look_misses"], manifest["search"]["tiles"], manifest["files"][FIRST_LOOK]

    edit_manifest(tmp_path / "package", as_before)
    old = load_package(tmp_path / "package")
    searcher = OpenVinoSearcher(old, threads=1)
    assert old.inspector(searcher).inspect(frames(1)[0]).tiles == len(old.tiler.tile(frames(1)[0]).tiles)
    with pytest.raises(PackageError, match="no first look"):
        searcher.look(frames(1)[0][..., None])
    searcher.close()
    with pytest.raises(PackageError, match=r"no first look.*export it again.*`latentline-export package .* --tiles 8`"):
        old.with_tiles(8)


@pytest.mark.parametrize(("tiles", "runs"), [("all", True), (3, False)])
def test_a_package_whose_look_saw_single_tiles_runs_without_it_or_not_at_all(
    tmp_path: Path, tiles: object, runs: bool
) -> None:
    """Its thresholds are for that look: with all tiles they hold, with some of them it says to export it again."""
    write_random_package(tmp_path / "package", tiny_model())

    def as_before(manifest: dict[str, object]) -> None:
        manifest["first_look"] = True
        search = manifest["search"]
        assert isinstance(search, dict)
        search["tiles"] = tiles

    edit_manifest(tmp_path / "package", as_before)
    if not runs:
        with pytest.raises(PackageError, match=r"tiles 3 needs a first look at the frame.*single tiles.*export"):
            load_package(tmp_path / "package")
        return
    old = load_package(tmp_path / "package")
    assert FIRST_LOOK not in old.graphs and not old.manifest.looks_first
    searcher = OpenVinoSearcher(old, threads=1)
    assert old.inspector(searcher).inspect(frames(1)[0]).tiles == old.count_tiles(frames(1)[0][..., None])
    searcher.close()


def test_a_score_of_the_first_look_needs_one(tmp_path: Path) -> None:
    """A package whose score has d_look and that searches all tiles is refused with a sentence."""
    write_random_package(tmp_path / "package", tiny_model())

    def scored(tiles: object) -> None:
        def change(manifest: dict[str, dict[str, object]]) -> None:
            manifest["search"]["tiles"] = tiles
            manifest["calibration"]["components"] = [{"name": "d_look", "mean": 0, "std": 1, "weight": 1}]

        edit_manifest(tmp_path / "package", change)

    scored(2)
    package = load_package(tmp_path / "package")
    searcher = OpenVinoSearcher(package, threads=1)
    frame = frames(1)[0]
    found = package.inspector(searcher).inspect(frame)
    assert found.score == pytest.approx(-searcher.look(package.tiler.tile(frame).prepared).logit.min())
    searcher.close()
    scored("all")
    with pytest.raises(PackageError, match=r"makes the score of 'd_look', which this model does not give"):
        load_package(tmp_path / "package")


@pytest.mark.parametrize("tiles", [0, "some", 3])
def test_a_manifest_with_impossible_tiles_is_refused(tmp_path: Path, tiles: object) -> None:
    """No tile, a word, and a number without a first look: one sentence that names the setting."""
    write_random_package(tmp_path / "package", tiny_model())

    def change(manifest: dict[str, dict[str, object]]) -> None:
        manifest["search"]["tiles"] = tiles
        del manifest["first_look"]

    edit_manifest(tmp_path / "package", change)
    with pytest.raises(PackageError, match=r"(?s)tiles.*export the package again"):
        load_package(tmp_path / "package")

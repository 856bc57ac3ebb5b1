"""trunk.npz gives back what was written, and anything else is refused in one sentence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.package import ModelCard, write_model_package
from latentline.errors import PackageError
from latentline.package.arrays import read_arrays, write_arrays
from latentline.package.manifest import parse_manifest
from latentline.package.model_package import TRUNK, TRUNK_STATISTICS, load_package
from latentline.package.trunk_file import read_trunk, trunk_to_bytes
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.calibration import Calibration, Component
from latentline.scoring.frame_maps import MapScales
from latentline.scoring.maps import PixelStatistics
from latentline.trunk.packaged import PackagedTrunk
from latentline.trunk.statistics import DISTANCE, VERDICT
from latentline.trunk.verdict import VerdictFit
from latentline.vision.preprocessing import Preprocessing
from tests.packages import edit_manifest, rewrite, tiny_model
from tests.trunks import tiny_packaged

VERDICT_FIT = VerdictFit(images=9, parts=8, masks=False, ridge=None, auroc=0.9)


def with_verdict() -> PackagedTrunk:
    trunk = tiny_packaged()
    direction = np.ones(15, np.float32) / np.float32(np.sqrt(15))
    return replace(
        trunk,
        spec=trunk.spec.model_copy(update={"verdict": VERDICT_FIT}),
        statistics=replace(trunk.statistics, direction=direction, located=False),
        scales=MapScales({DISTANCE: (1.0, 0.2), VERDICT: (0.5, 2.0)}),
    )


def package(out: Path, trunk: PackagedTrunk | None, component: str = DISTANCE) -> Path:
    plane = np.ones((1, 16, 16), np.float32)
    calibration = Calibration(
        components=(Component(name=component, mean=0.0, std=1.0, weight=1.0),),
        threshold=2.0,
        map_threshold=4.0,
        false_alarm_rate=0.1,
        scored_normals=9,
        standardised_normals=8,
    )
    statistics = PixelStatistics(0 * plane, plane, (1.0,), np.ones(1, np.float32))
    found = Calibrated(calibration, statistics, np.arange(9.0), np.arange(9.0))
    write_model_package(out, tiny_model(), ModelCard("tiny", "anogan", "0", Preprocessing(), 0.25), found, trunk)
    return out


@pytest.mark.parametrize("made", [tiny_packaged, with_verdict])
def test_what_was_written_is_read(made: Any, tmp_path: Path) -> None:
    """Statistics, scales, test, graph and section of the manifest, with and without a verdict."""
    trunk = made()
    read = load_package(package(tmp_path / "package", trunk)).trunk
    assert read is not None and read.spec == trunk.spec and read.graph == trunk.graph
    assert set(read.scales.scales) == set(trunk.scales.scales)
    for name in ("mean", "whitening", "direction"):
        written, found = (getattr(t.statistics, name) for t in (trunk, read))
        assert (written is None) == (found is None) and (written is None or np.array_equal(written, found))
    assert read.statistics.located == trunk.statistics.located
    assert np.array_equal(read.test.image, trunk.test.image)
    assert np.array_equal(read.test.features, trunk.test.features)


def test_a_package_without_a_trunk_has_none(tmp_path: Path) -> None:
    """Also one whose manifest does not know of trunks, as an older exporter wrote it."""
    out = package(tmp_path / "package", None, "feature")
    edit_manifest(out, lambda manifest: manifest.pop("trunk"))
    assert load_package(out).trunk is None


def test_a_score_of_a_trunk_needs_the_trunk(tmp_path: Path) -> None:
    """A component of a trunk that the package does not bring, or that has no scale, is refused."""
    with pytest.raises(PackageError, match="makes the score of 'trunk_distance', which this model does not give"):
        load_package(package(tmp_path / "none", None))
    with pytest.raises(PackageError, match="makes the score of 'trunk_verdict', which this model does not give"):
        load_package(package(tmp_path / "other", tiny_packaged(), VERDICT))


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    """trunk.onnx and trunk.npz are under the hashes of the manifest like every other file."""
    out = package(tmp_path / "package", tiny_packaged())
    content = (out / TRUNK).read_bytes()
    (out / TRUNK).write_bytes(content[:-1])
    with pytest.raises(PackageError, match=r"trunk\.onnx is damaged"):
        load_package(out)
    (out / TRUNK).write_bytes(content)
    (out / TRUNK_STATISTICS).unlink()
    with pytest.raises(PackageError, match=r"trunk\.npz is missing"):
        load_package(out)


def _edited(change: Any) -> bytes:
    arrays = read_arrays(trunk_to_bytes(with_verdict()), "trunk.npz", 10**8)
    change(arrays)
    return write_arrays(arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("mean"), "array 'mean' is missing"),
        (lambda a: a.update(extra=np.ones(3)), "array 'extra' is unknown"),
        (lambda a: a.update(mean=a["mean"][:1]), "'mean' .* does not fit"),
        (lambda a: a.update(whitening=a["whitening"][:, :3]), "'whitening' .* does not fit"),
        (lambda a: a["whitening"].__setitem__((0, 0, 0), np.nan), "'whitening' .* not finite"),
        (lambda a: a["whitening"].__setitem__((0, 0, 0), 0.0), "'whitening' is not positive on its diagonal"),
        (lambda a: a.update(direction=a["direction"][:2]), "'direction' .* does not fit"),
        (lambda a: a["trunk_verdict_scale"].__setitem__(1, -1.0), "'trunk_verdict_scale' is not positive"),
        (lambda a: [a.pop(f"{name}_scale") for name in (DISTANCE, VERDICT)], "no map of the trunk has a scale"),
        (lambda a: a.update(test_features=a["test_features"][1:]), "'test_features' .* does not fit"),
    ],
)
def test_wrong_arrays_are_one_sentence(change: Any, message: str) -> None:
    """Missing, unknown, misshapen, not finite or not positive ones are refused, with their place."""
    trunk = with_verdict()
    with pytest.raises(PackageError, match=f"^here: .*{message}"):
        read_trunk(_edited(change), trunk.graph, trunk.spec, "here")


def test_an_older_station_refuses_a_trunk_by_itself(tmp_path: Path) -> None:
    """A manifest with a section that a station does not know is refused with the name of the section."""
    out = package(tmp_path / "package", tiny_packaged())
    edit_manifest(out, lambda manifest: manifest.update(trunk2=manifest["trunk"]))
    with pytest.raises(PackageError, match="'trunk2': Extra inputs are not permitted"):
        parse_manifest((out / "manifest.json").read_bytes(), "manifest.json")


def test_a_grid_without_whole_cells_is_refused(tmp_path: Path) -> None:
    """An odd grid cannot have a covariance for each 2 x 2 positions."""
    trunk = tiny_packaged()
    trials = tuple(trial.model_copy(update={"kind": "cells"}) for trial in trunk.spec.gaussian.trials)
    spec = trunk.spec.model_copy(
        update={"gaussian": trunk.spec.gaussian.model_copy(update={"trials": trials}), "grid": (3, 4)}
    )
    with pytest.raises(PackageError, match="3 x 4 positions make no whole cells"):
        read_trunk(trunk_to_bytes(trunk), trunk.graph, spec, "here")


def test_pickles_are_refused(tmp_path: Path) -> None:
    """trunk.npz holds numbers alone."""
    out = package(tmp_path / "package", tiny_packaged())
    arrays = {"mean": np.array([{"a": 1}], dtype=object)}
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    rewrite(out, TRUNK_STATISTICS, (tmp_path / "bad.npz").read_bytes())
    with pytest.raises(PackageError, match="not an array of numbers"):
        load_package(out)

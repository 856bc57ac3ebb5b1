"""`latentline-export tune`: settings of a package within a budget, on a clock of the test."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from export.cli import main
from export.tuning import choice, data, precision, tune, tuner
from export.tuning.candidates import candidates, package_at
from export.tuning.choice import TriedSetting, choose_setting
from export.tuning.timing import timed_frames
from latentline.errors import PackageError, VerificationError
from latentline.model import open_model
from latentline.package.model_package import ENCODER, ModelPackage, load_package
from latentline.scoring.tuning import TunedSetting
from latentline.vision.region import RegionOfInterest
from tests.checkpoints import random_checkpoint
from tests.export.test_from_checkpoint import save
from tests.packages import edit_manifest, scored
from tests.trainer.folder import write_folder
from trainer.evaluation.judged_score import JudgedScore
from trainer.evaluation.search_rule import FrameLabels


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an encoder GAN, and its package."""
    root = write_folder(tmp_path_factory.mktemp("images"), train=48, good=1, defects=12, side=48)
    folder = save(random_checkpoint("f_anogan"), root, tmp_path_factory.mktemp("run"))
    given = ["--false-alarm-rate", "0.1", "--iterations", "1", "--threads", "1"]
    assert main(["package", str(folder), str(folder / "package"), *given]) == 0
    return folder


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[TunedSetting]:
    """A frame takes a millisecond for each tile and step. What was timed is listed."""
    timed = []

    def milliseconds(packages: Sequence[ModelPackage], frames: object, device: str, threads: int) -> list[float]:
        for package in packages:
            search = package.manifest.search
            timed.append(TunedSetting(overlap=package.manifest.overlap, iterations=search.iterations, init=search.init))
        tiles = [len(p.tiler.tile(np.zeros((48, 48), np.uint8)).tiles) for p in packages]
        return [(n * (1 + p.manifest.search.iterations)) * 2.0 / threads for n, p in zip(tiles, packages, strict=True)]

    monkeypatch.setattr(tuner, "median_milliseconds", milliseconds)
    monkeypatch.setattr(tune, "usable_cores", lambda: 2)
    return timed


def _tune(run: Path, out: Path, *options: str) -> int:
    return main(["tune", str(run / "package"), str(out), "--data", str(run), *options])


OWN = TunedSetting(overlap=0.25, iterations=1, init="encoder")


def test_the_tuned_package_is_whole_and_says_why(
    run: Path,
    tmp_path: Path,
    clock: list[TunedSetting],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the package's own setting it has the same score and thresholds, and every setting that was tried."""
    far = TunedSetting(overlap=0.5, iterations=30, init="encoder")
    farther = TunedSetting(overlap=0.5, iterations=100, init="encoder")
    monkeypatch.setattr(tune, "candidates", lambda manifest: [OWN, far, farther])
    out = tmp_path / "tuned.zip"
    assert _tune(run, out, "--budget", "20ms", "--frame", "48x48", "--json") == 0
    report = json.loads(capsys.readouterr().out)["tuning"]
    before, after = load_package(run / "package").manifest, load_package(out).manifest
    assert after.tuning is not None and after.tuning.model_dump(mode="json") == report
    assert (after.search, after.overlap, after.calibration) == (before.search, before.overlap, before.calibration)
    assert [(t.setting, t.outcome) for t in after.tuning.trials] == [(OWN, "chosen"), (far, "over the budget")]
    assert (after.tuning.frame, after.tuning.threads, after.tuning.milliseconds_by_threads) == (
        (48, 48),
        1,
        {1: 16, 2: 8},
    )
    assert farther not in clock and load_package(out).graphs == load_package(run / "package").graphs


def test_a_random_start_needs_no_encoder(
    run: Path, tmp_path: Path, clock: list[TunedSetting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a search from the constant latent wins, the package brings no encoder, and opens."""
    only = TunedSetting(overlap=0.0, iterations=1, init="random")
    monkeypatch.setattr(tune, "candidates", lambda manifest: [only])
    assert _tune(run, tmp_path / "tuned", "--budget", "1s", "--threads", "1") == 0
    package = load_package(tmp_path / "tuned")
    assert ENCODER not in package.graphs and package.manifest.search.init == "random"
    with open_model(tmp_path / "tuned", "openvino", threads=1) as model:
        model.inspect(np.full((48, 48), 90, np.uint8))


def test_a_budget_that_nothing_meets_names_the_fastest(
    run: Path, tmp_path: Path, clock: list[TunedSetting], capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with setting and cost, exit code 2, and no package."""
    assert _tune(run, tmp_path / "out", "--budget", "0.5ms", "--frame", "48x48") == 2
    assert "the fastest, overlap 0, n = 0, 4 tiles, takes 4 ms" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_frames_that_are_timed_hold_a_region_of_the_size_of_the_images() -> None:
    """The images of a model with a region are cut to it, and what a station inspects is a whole frame."""
    image, region = np.zeros((48, 40), np.uint8), RegionOfInterest(left=0.3, width=0.5, height=0.75)
    frames = timed_frames([image], None, region)
    sizes = [region.box(frame.shape)[2:] for frame in frames]
    assert all(40 <= width <= 42 and 48 <= height <= 50 for width, height in sizes)
    assert {frame.shape for frame in timed_frames([image], (60, 50), region)} == {(50, 60)}
    assert {frame.shape for frame in timed_frames([image], None, None)} == {(48, 40)}


def test_other_images_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run on other images, an old package that cannot tell, and the package itself as target: a sentence each."""
    other = write_folder(tmp_path / "other", train=40, good=1, defects=12, side=48)
    foreign = save(random_checkpoint("f_anogan"), other, tmp_path / "foreign")
    package, out = str(run / "package"), str(tmp_path / "out")
    assert main(["tune", package, out, "--data", str(foreign), "--budget", "50ms"]) == 2
    assert "are not those that" in capsys.readouterr().err
    another = save(random_checkpoint("noisy_anogan"), other, tmp_path / "another")
    assert main(["tune", package, out, "--data", str(another), "--budget", "50ms"]) == 2
    assert "of method noisy_anogan, and" in capsys.readouterr().err
    assert main(["tune", package, package, "--data", str(run), "--budget", "50ms"]) == 2
    assert "is the package itself" in capsys.readouterr().err
    old = replace(load_package(run / "package"), normal_brightness=None)
    with pytest.raises(PackageError, match="an older version wrote it"):
        data.read_tuning_data(run, None, old, Path("old.zip"))


def test_a_training_file_gives_the_same_images_as_its_run(run: Path) -> None:
    """Its split is made again, and the package agrees."""
    package = load_package(run / "package")
    of_run = data.read_tuning_data(run, None, package, run)
    of_file = data.read_tuning_data(run / "checkpoint" / "config.yaml", None, package, run)
    assert [len(x) for x in (of_run.held_out.standardising, of_run.held_out.abnormal)] == [
        len(x) for x in (of_file.held_out.standardising, of_file.held_out.abnormal)
    ]


@pytest.mark.parametrize("text", ["50", "0ms", "-1ms", "xms", "ms"])
def test_a_budget_has_a_unit(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no duration is a sentence, before anything is opened."""
    with pytest.raises(SystemExit):
        main(["tune", "package", "out", "--data", "run", f"--budget={text}"])
    assert "is not a duration such as 50ms or 0.2s" in capsys.readouterr().err


def test_a_paper_score_has_nothing_to_tune(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence, before any image is read."""
    folder = tmp_path / "package"
    folder.mkdir()
    for file in (run / "package").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    component = {"name": "loss", "mean": 0.0, "std": 1.0, "weight": 1.0}
    edit_manifest(folder, lambda manifest: manifest["calibration"].update(components=[component]))
    assert main(["tune", str(folder), str(tmp_path / "out"), "--data", "nowhere", "--budget", "50ms"]) == 2
    assert "has the paper's score" in capsys.readouterr().err


def test_bfloat16_is_checked_and_kept(
    run: Path,
    tmp_path: Path,
    clock: list[TunedSetting],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The package has it where it moves no score too far; a move beyond the bound is a sentence, and no package."""
    monkeypatch.setattr(tune, "candidates", lambda manifest: [OWN])
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    options = "--budget", "1s", "--threads", "1", "--precision", "bfloat16"
    monkeypatch.setattr(precision, "MOST_MOVED", 1e9)
    assert _tune(run, tmp_path / "half", *options) == 0
    manifest = load_package(tmp_path / "half").manifest
    assert manifest.cpu_precision == "bfloat16" and manifest.tuning is not None
    assert manifest.tuning.precision == "bfloat16"
    monkeypatch.setattr(precision, "MOST_MOVED", -1.0)
    assert _tune(run, tmp_path / "none", *options) == 1
    assert "bfloat16 moves the score of a normal image by" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    assert _tune(run, tmp_path / "none", *options) == 2
    assert "this processor does not compute in bfloat16" in capsys.readouterr().err


def test_a_move_of_scores_is_measured_in_their_spread() -> None:
    """A twentieth of a standard deviation passes, a fifth does not, nor does what is not finite."""
    exact = np.array([-1.0, 1.0, -1.0, 1.0])
    precision.check_moved("model", exact + 0.05, exact)
    for moved in (0.2, np.nan):
        with pytest.raises(VerificationError, match=r"and 0\.1 is allowed; use --precision float32"):
            precision.check_moved("model", exact + np.array([0, 0, moved, 0]), exact)


LABELS = FrameLabels(np.arange(60) >= 30, tuple(str(i) for i in range(60)), np.zeros(60, bool), True)


def _tried(iterations: int, milliseconds: float, shift: float | None) -> TriedSetting:
    """A setting that sets abnormal frames apart by `shift`; None: not judged."""
    noise = np.random.default_rng(0).normal(size=60)
    judged = None if shift is None else JudgedScore(SimpleNamespace(), noise + shift * LABELS.abnormal, None)  # type: ignore[arg-type]
    return TriedSetting(TunedSetting(overlap=0.0, iterations=iterations, init="encoder"), milliseconds, judged)


def test_the_fastest_that_is_as_good_as_any_within_the_budget_is_chosen() -> None:
    """Not a better one above the budget, nor a faster one that is worse, nor a slower one that is alike."""
    tried = [_tried(0, 5, 0.2), _tried(3, 10, 2.0), _tried(10, 20, 2.0), _tried(30, 99, 9.0), _tried(100, 300, None)]
    trials = choose_setting(tried, LABELS, 50.0, seed=0)
    assert [(t.setting.iterations, t.outcome) for t in trials] == [
        (0, "worse"),
        (3, "chosen"),
        (10, "slower"),
        (30, "over the budget"),
        (100, "over the budget"),
    ]
    assert trials[0].image_gain is not None and trials[0].image_gain.value < -choice.EQUAL
    assert trials[3].image_auroc is not None and trials[4].image_auroc is None


def test_the_own_setting_is_among_the_candidates(run: Path) -> None:
    """With the usual ones; a package without a first look searches all tiles."""
    manifest = load_package(run / "package").manifest.model_copy(update={"overlap": 0.4})
    found = candidates(manifest)
    assert OWN.model_copy(update={"overlap": 0.4}) in found and len(found) == len(set(found)) == 8 * 4 * 3
    without = manifest.model_copy(update={"first_look": False})
    assert candidates(without) == [s for s in found if s.tiles == "all"]


def test_a_setting_without_a_look_is_timed_without_its_component(run: Path) -> None:
    """Of a package whose score has d_look, the setting with all tiles can be run all the same."""
    package = scored(load_package(run / "package").with_tiles(2), "feature", "d_look")
    every = package_at(package, OWN)
    assert [component.name for component in every.manifest.calibration.components] == ["feature"]
    some = package_at(package, OWN.model_copy(update={"tiles": 3}))
    assert some.manifest.calibration == package.manifest.calibration and some.tiler.most == 3


def test_what_costs_no_less_than_a_hopeless_setting_is_known() -> None:
    """As many tiles and steps from the same start; fewer of either may still be tried."""
    hopeless = TunedSetting(overlap=0.25, iterations=10, init="encoder", tiles=16)
    more: list[dict[str, object]] = [{"iterations": 30, "overlap": 0.5}, {"tiles": "all"}, {}]
    less: list[dict[str, object]] = [{"overlap": 0.0, "iterations": 30}, {"init": "random"}, {"tiles": 4}]
    assert all(hopeless.model_copy(update=change).costs_no_less(hopeless) for change in more)
    assert not any(hopeless.model_copy(update=change).costs_no_less(hopeless) for change in less)

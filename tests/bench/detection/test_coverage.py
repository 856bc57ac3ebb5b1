"""What bench.detection.coverage measures: maps without D, tables made of the lines of JSON alone."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.detection import coverage
from bench.detection.protocol.tables import Table
from bench.detection.reconstruction import coverage_job
from bench.detection.reconstruction.coverage_job import CoverageJob
from bench.detection.reconstruction.coverage_tables import coverage_tables, over_seeds
from bench.detection.reconstruction.maps_alone import MapsOnlySearcher
from bench.detection.reconstruction.measurement import ModelMeasurement, read_lines, write_lines
from bench.detection.reconstruction.samples import draw_samples, spread
from bench.detection.reconstruction.variants import Iterations, chosen_variants
from latentline.errors import ConfigError, DatasetError
from latentline.vision.images import read_image
from tests.trainer.folder import tiny_config, write_folder
from trainer.checkpoint import load_checkpoint
from trainer.config import TrainConfig
from trainer.data.sources import open_source
from trainer.evaluation.report import EvaluationReport, read_results
from trainer.reference.searcher import ReferenceSearcher


def _config(root: Path, **changes: Any) -> TrainConfig:
    given = tiny_config(root, **changes.pop("schedule", {}))
    given["data"] |= changes.pop("data", {})
    return TrainConfig.model_validate({**given, **changes})


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> CoverageJob:
    """A tiny Noisy-AnoGAN with encoder, fine-tuned D and patch head, trained and measured."""
    place = tmp_path_factory.mktemp("coverage")
    schedule = {"fade_images": 1, "stable_images": 0, "final_images": 8, "encoder_images": 8, "discriminator_images": 8}
    method = {"kind": "noisy_anogan", "patch_head": 1.0, "synthetic_fraction": 0.5}
    config = _config(write_folder(place / "data", train=96), schedule=schedule, method=method)
    made = CoverageJob(place / "run", "tiny", "noisy_anogan", config, (Iterations(0),), ("l2",), 2, {"date": "today"})
    assert not made.finished
    made.finish()
    return made


def test_nothing_of_d_is_in_the_maps_alone(job: CoverageJob) -> None:
    """The searcher has D's numbers, the wrapped one none, and score and report know nothing but maps."""
    checkpoint = load_checkpoint(job.folder)
    tiles = np.zeros((2, 32, 32, 1), np.uint8)
    whole = ReferenceSearcher(checkpoint, checkpoint.config.search, 0)
    theirs, ours = whole.search(tiles), MapsOnlySearcher(whole).search(tiles)
    assert np.array_equal(ours.reconstruction, theirs.reconstruction) and np.array_equal(ours.z, theirs.z)
    of_d = ("logit_frame", "logit_reconstruction", "feature_residual", "patch_logits", "loss")
    assert all(getattr(theirs, name) is not None and getattr(ours, name) is None for name in of_d)
    report, scores = read_results(job.place / "n-0" / "l2")
    assert report == job.measurement().searches["n = 0"].maps["l2"] and report.image_auroc is not None
    named = [set(report.component_auroc), *(set(image.components) for image in scores.images.values())]
    assert all(names and all(name.startswith("l2_") for name in names) for names in named)


def test_a_measurement_is_whole(job: CoverageJob) -> None:
    """Every figure of a GAN with known-abnormal images is there, and a picture of samples beside real tiles."""
    found = job.measurement()
    search = found.searches["n = 0"]
    assert found.verdict is not None and found.samples is not None and found.minutes > 0
    assert (found.seed, found.latent_size, found.limit, found.conditions) == (0, 8, 2, {"date": "today"})
    assert search.coverage is not None and search.milliseconds_a_tile > 0
    assert search.contrast.known_abnormal is not None and search.contrast.kinds.keys() == {"square"}
    assert read_image(job.place / "samples.png").shape == (8 * 32, 2 * 8 * 32 + 8)


def test_what_is_measured_is_kept(job: CoverageJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second time nothing is done; another map or search is measured, and the others stay as they are."""
    monkeypatch.setattr(coverage_job, "fit", lambda *_, **__: None)
    before = job.measurement()
    asked: list[tuple[str, str]] = []

    def evaluated(_: object, variant: Iterations, kind: str, *__: object) -> EvaluationReport:
        asked.append((variant.name, kind))
        return before.searches["n = 0"].maps["l2"]

    monkeypatch.setattr(coverage_job, "evaluate_maps", evaluated)
    job.finish()
    assert asked == [] and job.measurement() == before
    more = replace(job, variants=(Iterations(0), Iterations(1)), maps=("l1",))
    assert not more.finished
    more.finish()
    assert asked == [("n = 0", "l1"), ("n = 1", "l1")]
    found = more.measurement().searches
    assert {name: set(search.maps) for name, search in found.items()} == {"n = 0": {"l1", "l2"}, "n = 1": {"l1"}}
    assert job.finished and found["n = 0"].contrast == before.searches["n = 0"].contrast
    with pytest.raises(ConfigError, match=r"schedule\.seed"):
        replace(job, config=_config(job.folder.parent / "data", schedule={"seed": 3})).finish()


def test_a_measurement_of_another_version_is_one_sentence(job: CoverageJob, tmp_path: Path) -> None:
    """The file is named, and what to do with it."""
    other = replace(job, folder=tmp_path)
    other.place.mkdir()
    (other.place / "coverage.json").write_text('{"method": "pca"}')
    with pytest.raises(DatasetError, match=r"coverage\.json: not a measurement of this version; delete it"):
        other.measurement()


def test_samples_are_compared_with_real_tiles(job: CoverageJob, tmp_path: Path) -> None:
    """Equal samples have no deviation, tiles of two levels have theirs; a plain autoencoder has no samples."""
    tiles = np.stack([np.full((4, 4, 1), level, np.uint8) for level in (0, 255)])
    found = spread(np.zeros((5, 1, 4, 4), np.float32), tiles)
    assert found.samples == 0 and found.real == pytest.approx(1)
    checkpoint = load_checkpoint(job.folder)
    drawn = draw_samples(checkpoint, 3)
    assert drawn is not None and drawn.shape == (3, 1, 32, 32)
    plain = _config(tmp_path, method={"kind": "autoencoder", "loss": "l2"}, search={"iterations": 0})
    assert draw_samples(replace(checkpoint, config=plain)) is None


def _model(job: CoverageJob, seed: int, verdict: float) -> ModelMeasurement:
    found = job.measurement()
    assert found.verdict is not None
    return found.model_copy(
        update={"seed": seed, "verdict": found.verdict.model_copy(update={"value": verdict})}, deep=True
    )


def test_tables_are_made_of_the_lines(job: CoverageJob, tmp_path: Path) -> None:
    """A number changed in results.jsonl is changed in the table; means stand before the numbers of the seeds."""
    path = tmp_path / "results.jsonl"
    write_lines(path, [_model(job, seed, value) for seed, value in ((0, 0.25), (2, 0.75))])

    def cell() -> object:
        tables: list[Table] = coverage_tables(read_lines(path))
        return tables[0].rows["noisy_anogan"]["verdict alone, image AUROC"]

    assert cell() == "0.500 (0.250, 0.750)"
    path.write_text(path.read_text().replace('"value":0.75', '"value":0.875'))
    assert cell() == "0.562 (0.250, 0.875)"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5], "0.500"),
        ([1.0, 0.5], "0.750 (1.000, 0.500)"),
        ([0.5, None], "0.500 (0.500, –)"),
        ([64, 64], "64"),
        ([2000, 2001], "2,000 (2,000, 2,001)"),
        ([0.01234], "0.0123"),
        ([None, None], None),
    ],
)
def test_a_cell_has_the_mean_and_every_seed(values: list[float | None], text: str | None) -> None:
    """Of what is there; counts are whole, and stand once where they are equal."""
    assert over_seeds(values) == text


def test_only_searches_and_maps_that_fit_are_measured(tmp_path: Path) -> None:
    """An autoencoder has no steps, a GAN without an encoder needs some; where nothing fits a sentence says so."""
    pca = _config(tmp_path, method={"kind": "pca"}, search={"iterations": 0})
    anogan = _config(tmp_path, method={"kind": "anogan"})
    encoded = _config(tmp_path, method={"kind": "anogan"}, schedule={"encoder_images": 8})
    for config, expected in ((pca, [0]), (anogan, [3]), (encoded, [0, 3])):
        assert [v.iterations for v in chosen_variants(config, None)] == expected
        assert [v.iterations for v in chosen_variants(config, [0, 3, 3])] == expected
    with pytest.raises(ConfigError, match=r"--iterations 5: a model of method pca"):
        chosen_variants(pca, [5])
    assert coverage.chosen_maps(pca, None) == ("auto",)
    assert coverage.chosen_maps(pca, ["l2", "probability", "l2"]) == ("l2",)
    with pytest.raises(ConfigError, match=r"--maps probability"):
        coverage.chosen_maps(pca, ["probability"])


def test_a_hidden_kind_is_never_shown(tmp_path: Path) -> None:
    """It is tested whole, and the known-abnormal images of other kinds do not change; a wrong kind is one sentence."""
    root = tmp_path / "data"
    for kind, count in (("d010", 6), ("d016", 4)):
        for number in range(count):
            path = root / "test" / kind / f"{kind[2:]}{number:02}_x0.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for number in range(4):
        (root / "train" / "good").mkdir(parents=True, exist_ok=True)
        (root / "train" / "good" / f"{number:04}_x0.png").touch()

    def config(*hidden: str, dataset: str = "fabric") -> TrainConfig:
        given = {"data": root, "out": tmp_path / "out", "images": None, "dataset": dataset, "hide_kind": hidden}
        return coverage.training_config("noisy_anogan", 0, argparse.Namespace(**given))

    splits = [open_source(c.data, c.preprocessing).split(0) for c in (config(), config("d016"))]
    everything, hidden = ({name.split("/")[1] for name in split.known_abnormal} for split in splits)
    assert everything == {"d010", "d016"} and hidden == {"d010"}
    assert len(splits[1].test_abnormal["d016"]) == 4 and set(splits[1].known_abnormal) < set(splits[0].known_abnormal)
    with pytest.raises(ConfigError, match="d999: fabric has d010, d016"):
        config("d999")
    with pytest.raises(ConfigError, match="no kind is left"):
        config("d010", "d016")
    with pytest.raises(ConfigError, match="no kind of defect of grid is shown"):
        config("d010", dataset="grid")


@pytest.mark.usefixtures("warm_jobs")
def test_the_command_measures_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PCA beside the input without a model: printed, in results.md, and whole in results.jsonl."""
    data, out = write_folder(tmp_path / "data", train=120, good=3, defects=3), tmp_path / "out"
    options = ["--dataset", "grid", "--methods", "pca", "--seeds", "0", "--images", "100", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["coverage", str(data), str(out), *options, "--report-only"])
    with pytest.raises(ConfigError, match="no training is finished"):
        coverage.main()
    monkeypatch.setattr(sys, "argv", ["coverage", str(data), str(out), *options])
    assert coverage.main() == 0
    printed = capsys.readouterr().out
    assert printed.strip() == (out / "results.md").read_text().strip()
    assert "| pca, n = 0, map auto |" in printed and "| no model: pooled input, squared |" in printed
    lines = read_lines(out / "results.jsonl")
    assert [type(line).__name__ for line in lines] == ["ModelMeasurement", "BaselineMeasurement"]
    assert all({"date", "machine", "versions", "command"} <= line.conditions.keys() for line in lines)

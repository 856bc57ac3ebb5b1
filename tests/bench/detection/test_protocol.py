"""What the detection benches share: trainings that run once, budgets, tables, means with intervals."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.configs import CONFIGS, method_on, read_config
from bench.detection.protocol import jobs
from bench.detection.protocol.jobs import Job, finish_all
from bench.detection.protocol.score_figures import (
    SCORE,
    ScoreFigures,
    auroc_by_kind,
    mean_over_sets,
    paired_gain,
    score_figures,
)
from bench.detection.protocol.seed_means import mean_auroc
from bench.detection.protocol.station_evaluation import evaluate_with_weights
from bench.detection.protocol.tables import Table, write_tables
from latentline.errors import ConfigError, LatentlineError
from tests.trainer.folder import tiny_config, write_folder
from trainer.choose.budget import within_budget
from trainer.config import TrainConfig
from trainer.data.settings import FolderData
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.report import ImageScore, Scores, read_results
from trainer.loops.growth import total_images
from trainer.networks.layers import stages

pytestmark = pytest.mark.usefixtures("undrawn")


def _config(root: Path, **changes: object) -> TrainConfig:
    # 48 held-out images: enough to standardise and to promise 5 % false alarms
    data = tiny_config(write_folder(root, train=96), fade_images=1, stable_images=0, final_images=8)
    return TrainConfig.model_validate({**data, **changes})


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A tiny run, finished."""
    place = tmp_path_factory.mktemp("bench")
    made = Job(place / "run", _config(place / "data"), limit=2)
    assert not made.finished
    made.finish()
    return made


def test_a_run_is_finished_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second `finish` trains nothing, another limit only evaluates, another configuration is refused with its key."""
    report, scores = job.results()
    assert job.finished and report.normal_images == 2 and len(scores.images) == 4 and report.backend == "openvino"
    assert job.training_seconds() > 0

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a finished run was evaluated again")

    monkeypatch.setattr(jobs, "evaluate_on_station", never)
    monkeypatch.setattr(jobs, "fit", lambda *_, **__: None)
    job.finish()
    with pytest.raises(AssertionError, match="evaluated again"):
        Job(job.folder, job.config, limit=3).finish()
    other = job.config.model_copy(update={"search": job.config.search.model_copy(update={"iterations": 4})})
    with pytest.raises(ConfigError, match=r"search\.iterations"):
        Job(job.folder, other, limit=2).finish()


def test_a_run_trains_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device of a job reaches the training; without one it is a GPU if there is one."""
    trained: list[str] = []
    monkeypatch.setattr(jobs, "fit", lambda *_, device, **__: trained.append(device))
    monkeypatch.setattr(jobs, "evaluate_on_station", lambda *_: None)
    config = _config(tmp_path / "data")
    for job in (Job(tmp_path / "run", config), Job(tmp_path / "run", config, device="cuda:1")):
        job.finish()
    assert trained == ["auto", "cuda:1"]


def test_weights_can_be_lent(job: Job, tmp_path: Path) -> None:
    """A run with its own weights, lent to itself, scores every image as before."""
    evaluate_with_weights(job.folder, job.folder, tmp_path / "lent", limit=2)
    own, lent = job.results()[1], read_results(tmp_path / "lent")[1]
    assert lent.threshold == pytest.approx(own.threshold, rel=1e-4)
    for name, image in own.images.items():
        assert lent.images[name].score == pytest.approx(image.score, rel=1e-4, abs=1e-4)


@pytest.mark.usefixtures("warm_jobs")
def test_processes_say_what_failed(tmp_path: Path) -> None:
    """The error of a run that cannot start names it; what runs print is in their folders."""
    config = _config(tmp_path / "data")
    absent = config.model_copy(update={"data": config.data.model_copy(update={"root": tmp_path / "absent"})})
    with pytest.raises(LatentlineError, match=r"1 of 1 runs failed.*there is no such folder"):
        finish_all([Job(tmp_path / "run", absent)], workers=1)
    assert (tmp_path / "run" / "bench.log").is_file()


@pytest.mark.parametrize("method", ["noisy_anogan", "f_anogan", "autoencoder_ssim"])
def test_a_budget_is_kept(method: str) -> None:
    """All phases of a schedule are scaled by the same factor, and their sum is the number that was asked for."""
    config = method_on(CONFIGS / "magnetic_tile.yaml", method, {})
    small = within_budget(config, 5000)
    last = stages(config.network.resolution, config.network.patch_size) - 1
    gan = config.method.is_gan
    shown = total_images(small.schedule, last) if gan else small.schedule.final_images
    assert shown + small.schedule.encoder_images + small.schedule.discriminator_images == pytest.approx(5000, rel=0.01)
    ratio = small.schedule.final_images / config.schedule.final_images
    if config.schedule.encoder_images:
        assert small.schedule.encoder_images == pytest.approx(ratio * config.schedule.encoder_images, rel=0.01)
    assert within_budget(config, None) is config


def test_a_method_meets_a_data_set() -> None:
    """Networks and schedule come from the method, data and preprocessing from the data set, changes come last."""
    path = CONFIGS / "magnetic_tile.yaml"
    config = method_on(path, "vae", {"schedule.seed": 7, "data.held_out_fraction": 0.5})
    method, dataset = read_config(CONFIGS / "methods" / "vae.yaml", {}), read_config(path, {})
    assert config.network == method.network and config.method == method.method
    assert config.preprocessing == dataset.preprocessing and config.augment == dataset.augment
    assert config.schedule.seed == 7 and isinstance(config.data, FolderData) and config.data.held_out_fraction == 0.5
    with pytest.raises(ConfigError, match="holdoot"):
        method_on(path, "vae", {"data.holdoot": 0.5})


def _scores(seed: int, shift: float) -> Scores:
    rng = np.random.default_rng(seed)
    images = {}
    for index in range(60):
        kind = ("good", "scratch", "dent")[index % 3]
        score = float(rng.normal() + shift * (kind != "good"))
        components = {"residual_4px": score, "loss": -score}
        images[str(index)] = ImageScore(
            kind=kind, group=str(index), content=str(index), score=score, components=components
        )
    return Scores(threshold=0.0, images=images)


def _figures(scores: Scores, value: str = SCORE) -> ScoreFigures:
    figures = score_figures(scores, value)
    assert figures is not None
    return figures


def _width(estimate: Estimate) -> float:
    """Of the interval."""
    assert estimate.low is not None and estimate.high is not None
    return estimate.high - estimate.low


def _low(estimate: Estimate) -> float:
    assert estimate.low is not None
    return estimate.low


def test_means_have_intervals() -> None:
    """A mean over sets is the mean of their figures with a narrower interval; gains are paired."""
    sets = {str(seed): _figures(_scores(seed, 1.0)) for seed in range(8)}
    mean = mean_over_sets(sets, "auroc")
    assert mean.value == pytest.approx(np.mean([s.auroc.value for s in sets.values()]))
    assert 0 < _width(mean) < 0.6 * np.mean([_width(s.auroc) for s in sets.values()])
    same = paired_gain(sets, sets)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    worse = {name: _figures(_scores(int(name), 0.2)) for name in sets}
    assert _low(paired_gain(sets, worse)) > 0


def test_seeds_share_their_parts() -> None:
    """A training counted twice says no more than once; gains are paired; parts that a seed lacks are left out."""
    one, other = _scores(0, 1.0), _scores(1, 1.0)
    figures = _figures(one).auroc
    assert mean_auroc([one]).value == pytest.approx(figures.value)
    twice, once = mean_auroc([one, one]), mean_auroc([one])
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high))
    assert once.low == pytest.approx(figures.low, abs=0.02) and once.high == pytest.approx(figures.high, abs=0.02)
    both = mean_auroc([one, other])
    assert both.value == pytest.approx((figures.value + _figures(other).auroc.value) / 2)
    assert _width(both) < _width(once)
    gain = mean_auroc([one, other], [_scores(0, 0.2), _scores(1, 0.2)])
    assert _low(gain) > 0
    assert gain.value == pytest.approx(both.value - mean_auroc([_scores(0, 0.2), _scores(1, 0.2)]).value)
    fewer = one.model_copy(update={"images": {n: i for n, i in one.images.items() if int(n) < 45}})
    assert mean_auroc([one, fewer]).value == pytest.approx((figures.value + _figures(fewer).auroc.value) / 2)
    with pytest.raises(ValueError, match="same images"):
        mean_auroc([one], [fewer])


def test_a_value_is_the_score_or_a_component() -> None:
    """A negated component has 1 − AUROC; a prefix finds the map; an absent component has no figures."""
    scores = _scores(0, 1.0)
    whole = _figures(scores).auroc.value
    assert _figures(scores, "loss").auroc.value == pytest.approx(1 - whole)
    assert _figures(scores, "residual_").auroc.value == pytest.approx(whole)
    assert score_figures(scores, "d_frame") is None and auroc_by_kind(scores, "d_frame") == {}
    assert set(auroc_by_kind(scores)) == {"all", "scratch", "dent"}


def test_tables_are_read_by_people_and_programs(tmp_path: Path) -> None:
    """Markdown with a dash where there is no figure; JSON with the same cells, machine, date and command."""
    table = Table("figures")
    table.add("a", {"AUROC": Estimate(value=0.91234, low=0.9, high=0.95), "s": 0.012345})
    table.add("b", {"AUROC": None, "note": "none"})
    text = write_tables(tmp_path, "Bench", {"seed": "3"}, [table])
    assert "| a | 0.912 [0.900, 0.950] | 0.0123 | – |" in text and "| b | – | – | none |" in text
    assert text == (tmp_path / "results.md").read_text()
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["tables"][0]["rows"]["a"]["AUROC"] == {"value": 0.91234, "low": 0.9, "high": 0.95}
    assert content["seed"] == "3" and {"date", "machine", "versions", "command"} <= set(content)

"""Collapse is noticed, and health is not mistaken for it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.runs import write_config
from trainer.cli import load_config
from trainer.loops.training import StepReport
from trainer.methods import AnoGan, Autoencoder, Method, Vae
from trainer.run.fit import fit
from trainer.run.health import WINDOW, coverage_warning, health_warnings, measure_diversity
from trainer.run.history import FitCoverage, read_history

pytestmark = pytest.mark.usefixtures("undrawn")


def _reports(count: int, real: float, generated: float, slope: float = 0.0) -> list[StepReport]:
    probabilities = {"real": real, "generated": generated}
    losses = [{"discriminator": 0.01, "generator": 5 + slope * i} for i in range(count)]
    return [StepReport(i, 3, 1.0, loss, probabilities) for i, loss in enumerate(losses)]


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 3))
def test_diversity_is_the_ratio_of_spreads(seed: int, ratio: float) -> None:
    """Samples that vary `ratio` times as much as real tiles measure `ratio`, whatever their mean image."""
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(200, 1, 4, 4)).astype(np.float32)
    samples = (ratio * rng.permutation(real) + rng.normal(size=(1, 1, 4, 4))).astype(np.float32)
    assert measure_diversity(samples, real) == pytest.approx(ratio, rel=1e-3)


def test_equal_samples_are_a_mode_collapse() -> None:
    """One image for every z measures 0 and is named; half the spread of real tiles is not."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=(36, 1, 8, 8)).astype(np.float32)
    collapsed = measure_diversity(np.repeat(real[:1], 36, axis=0), real)
    assert collapsed < 1e-6
    assert "mode collapse" in " ".join(health_warnings(_reports(1, 0.5, 0.5), collapsed))
    assert health_warnings(_reports(1, 0.5, 0.5), 0.5) == ()


@pytest.mark.parametrize(
    ("reports", "named"),
    [
        (_reports(WINDOW, 0.999, 0.001), True),
        (_reports(WINDOW - 1, 0.999, 0.001), False),  # too early to say
        (_reports(WINDOW, 0.9, 0.1), False),
        (_reports(WINDOW, 0.999, 0.001, slope=-0.1), False),  # G catches up
        (_reports(WINDOW - 1, 0.999, 0.001) + _reports(1, 0.5, 0.5), False),
        (_reports(3, 0.5, 0.5) + _reports(WINDOW, 0.999, 0.001), True),
    ],
)
def test_a_saturated_discriminator_is_named_only_when_it_lasts(reports: list[StepReport], named: bool) -> None:
    """D near 1 and 0 over a whole window while G's loss does not fall."""
    assert ("the discriminator is saturated" in " ".join(health_warnings(reports, None))) == named


@pytest.mark.parametrize(("contrast", "named"), [(0.01, True), (0.4, False)])
def test_flat_reconstructions_are_named(contrast: float, named: bool) -> None:
    """The plateau of a constant output."""
    reports = [StepReport(i, 3, 1.0, {"reconstruction": 0.9, "contrast": contrast}) for i in range(WINDOW)]
    assert ("flat reconstructions" in " ".join(health_warnings(reports, None))) == named


def _coverage(explained: float, pca: float, progress: float = 1.0) -> FitCoverage:
    return FitCoverage(explained=explained, pca=pca, tiles=1000, components=128, progress=progress)


@pytest.mark.parametrize(
    ("coverage", "named"),
    [
        (
            _coverage(0.08, 0.92),
            "low coverage: the generator explains 0.08 of the variance of held-out",
        ),
        (_coverage(0.08, 0.92, progress=0.5), "low coverage"),
        (_coverage(0.08, 0.92, progress=0.49), None),  # it is still learning
        (_coverage(0.89, 0.92), "low coverage"),
        (_coverage(0.91, 0.92), None),  # no difference beyond that of the tiles which were drawn
        (_coverage(0.95, 0.92), None),
        (_coverage(-0.2, 0.03), "no common structure"),
        (_coverage(0.6, 0.03), None),  # what lines cannot follow, a network may
        (None, None),
    ],
)
def test_coverage_below_that_of_principal_components_is_named(coverage: FitCoverage | None, named: str | None) -> None:
    """Once half of the training is over; images without common structure have a sentence of their own."""
    sentence = coverage_warning(coverage, AnoGan(kind="anogan"))
    assert sentence is None if named is None else sentence is not None and sentence.startswith(named)


@pytest.mark.parametrize(
    ("method", "said", "unsaid"),
    [
        (AnoGan(kind="anogan"), "set method.finetune_generator, train the encoder longer", "schedule.final_images"),
        (AnoGan(kind="anogan", finetune_generator=True), "raise schedule.encoder_learning_rate", "method.finetune"),
        (Autoencoder(kind="autoencoder"), "set method.loss to l2, train longer (schedule.final_images)", "encoder_"),
        (Autoencoder(kind="autoencoder", loss="l2"), "raise schedule.learning_rate", "method.loss"),
        (Vae(kind="vae"), "lower method.kl_weight, train longer", "method.loss"),
    ],
)
def test_what_to_do_is_what_the_method_has(method: Method, said: str, unsaid: str) -> None:
    """Only settings that this method reads are named."""
    sentence = coverage_warning(_coverage(0.1, 0.9), method)
    assert sentence is not None and said in sentence and unsaid not in sentence


def _write_autoencoder_config(folder: Path, learning_rate: float) -> Path:
    path = write_config(folder, final_images=640, checkpoint_images=320, learning_rate=learning_rate)
    changed = {"method": {"kind": "autoencoder", "loss": "l2"}, "search": {"iterations": 0}}
    content = {**yaml.safe_load(path.read_text()), **changed}
    content["network"]["autoencoder_width"] = 4
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_generator_below_principal_components_is_named_everywhere(tmp_path: Path) -> None:
    """An autoencoder that does not learn: both figures and what to do in log, metrics.jsonl, TensorBoard and report."""
    run = tmp_path / "run"
    fit(load_config(_write_autoencoder_config(tmp_path, 1e-9), None), run)
    log, report = (run / "log.txt").read_text(), (run / "report.md").read_text()
    assert log.count("low coverage: the generator explains") == 1 and log.count("8 principal components explain") == 3
    last = read_history(run / "metrics.jsonl", 10**9)[-1]
    assert last.coverage is not None and last.coverage.explained < 0.2 and last.coverage.pca > 0.9
    assert "low coverage" in last.health[-1] and f"- {last.health[-1]}" in report and "Nothing looks" not in report
    assert f"that G(E(x)) explains | {last.coverage.explained:.4f} |" in report
    assert f"the same by 8 principal components of training tiles | {last.coverage.pca:.4f} |" in report
    (events,) = (run / "tensorboard").iterdir()
    assert b"coverage/explained" in events.read_bytes() and b"coverage/pca" in events.read_bytes()


def test_constant_images_are_named(tmp_path: Path) -> None:
    """There is no variance to explain, and no figure; the run ends well, and its report does not call that healthy."""
    path = _write_autoencoder_config(tmp_path, 1e-3)
    for image in (tmp_path / "data" / "train" / "good").iterdir():
        assert cv2.imwrite(str(image), np.full((48, 48), 90, np.uint8))
    config, run = load_config(path, None), tmp_path / "run"
    fit(config, run, stop_after=320)
    fit(config, run, resume=True)
    records = read_history(run / "metrics.jsonl", 10**9)
    assert all(r.coverage is None for r in records)
    assert all(r.health[-1].startswith("constant images: ") for r in records[1:])  # from the first checkpoint on
    assert "- constant images: the held-out normal tiles all equal" in (run / "report.md").read_text()


def test_a_collapsed_run_goes_on_and_says_so_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that cannot see z: one warning in the log, in metrics.jsonl and in report.md; the run ends well."""
    monkeypatch.setattr("trainer.networks.generator.pixel_norm", lambda x: x * 0 + 1 if x.dim() == 2 else x)
    config = load_config(write_config(tmp_path, final_images=160, checkpoint_images=150), None)
    fit(config, tmp_path / "run")
    assert (tmp_path / "run" / "log.txt").read_text().count("mode collapse") == 1
    assert "- mode collapse: the samples vary 0.00 times" in (tmp_path / "run" / "report.md").read_text()
    last = read_history(tmp_path / "run" / "metrics.jsonl", 10**9)[-1]
    assert last.diversity is not None and last.diversity < 1e-6 and "mode collapse" in last.health[0]

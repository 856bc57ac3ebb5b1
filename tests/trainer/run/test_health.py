"""Collapse is noticed, and health is not mistaken for it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.runs import write_config
from trainer.cli import load_config
from trainer.loops.training import StepReport
from trainer.run.fit import fit
from trainer.run.health import WINDOW, health_warnings, measure_diversity
from trainer.run.history import read_history


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


def test_a_collapsed_run_goes_on_and_says_so_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that cannot see z: one warning in the log, in metrics.jsonl and in report.md; the run ends well."""
    monkeypatch.setattr("trainer.networks.generator.pixel_norm", lambda x: x * 0 + 1 if x.dim() == 2 else x)
    config = load_config(write_config(tmp_path, final_images=160, checkpoint_images=150), None)
    fit(config, tmp_path / "run")
    assert (tmp_path / "run" / "log.txt").read_text().count("mode collapse") == 1
    assert "- mode collapse: the samples vary 0.00 times" in (tmp_path / "run" / "report.md").read_text()
    last = read_history(tmp_path / "run" / "metrics.jsonl", 10**9)[-1]
    assert last.diversity is not None and last.diversity < 1e-6 and "mode collapse" in last.health[0]

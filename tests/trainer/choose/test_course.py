"""The trials of a choice within its minutes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from latentline.base.atomic import write_text
from tests.trainer.choose.trials import trial_of
from trainer.choose import course as running
from trainer.choose.candidates import Candidate
from trainer.choose.choose import About, _compare_methods, _compare_scales
from trainer.choose.course import Course
from trainer.choose.image_set import Counts
from trainer.choose.trial import TRIAL, Trial
from trainer.config import TrainConfig
from trainer.data.settings import FolderData


class Trials:
    """Takes the place of `run_trial`: a clock that only trials move on, by their training and `evaluation` seconds."""

    def __init__(self, evaluation: float) -> None:
        self.now, self.evaluation, self.trained = 0.0, evaluation, dict[str, float]()

    def clock(self) -> float:
        return self.now

    def run(self, candidate: Candidate, out: Path, seconds: float, tiles: int, device: str) -> Trial:
        self.trained[candidate.name] = seconds
        self.now += max(seconds, 5) + self.evaluation
        minutes = {"evaluation": self.evaluation / 60, "least": (5 + self.evaluation) / 60}
        made = trial_of(candidate.method, 0.9, 0.9, self.evaluation / 400)
        trial = made.model_copy(update={"height": candidate.height, "tiles": tiles, **minutes})
        out.mkdir()
        write_text(out / TRIAL, trial.model_dump_json())
        return trial


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig.model_validate({"data": {"root": tmp_path}, "method": {"kind": "pca"}})


def _compared(trials: Trials, seconds: float, config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> Course:
    monkeypatch.setattr(running, "run_trial", trials.run)
    root = config.data.root
    counts = Counts(train=60, calibration=30, normal=30, known_trained=0, known_tested=0, made=30)
    about = About(made_from="", data=FolderData(root=root), counts=counts, shape=(256, 256))
    course = Course(root, seconds, clock=trials.clock)
    _compare_methods(course, _compare_scales(course, config, about), config, about)
    return course


def test_everything_is_compared_within_the_time(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With time enough the methods share what is left, their evaluations included, and end in time."""
    trials = Trials(evaluation=20)
    course = _compared(trials, 1200, config, monkeypatch)
    assert len(course.trials) == 6 and not course.unbegun
    assert 1190 < trials.now <= 1200
    assert trials.trained["autoencoder_l2-64px"] == pytest.approx(trials.trained["noisy_anogan-64px"])


def test_what_cannot_be_finished_is_not_begun(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Evaluations that are long leave out methods and scales, by name; the end is in time."""
    trials = Trials(evaluation=100)
    with caplog.at_level(logging.WARNING):
        course = _compared(trials, 330, config, monkeypatch)
    assert trials.now <= 330 and len(course.trials) + len(course.unbegun) == 6
    assert "pca-64px" in trials.trained and "pca-256px" in course.unbegun and "noisy_anogan-64px" in course.unbegun
    assert "noisy_anogan-64px is not tried: it would take 2 min or more" in caplog.text


def test_the_first_trial_is_finished_whatever_it_takes(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is begun after the time is up."""
    course = _compared(Trials(evaluation=500), 60, config, monkeypatch)
    assert [trial.name for trial in course.trials] == ["pca-64px"] and len(course.unbegun) == 5


def test_the_same_command_goes_on(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is finished costs no time, so it counts however little is left."""
    course = _compared(Trials(evaluation=100), 330, config, monkeypatch)
    again = Course(config.data.root, 0)
    again.trials += course.trials
    assert all(again.has_time_for(trial.name, 105) for trial in course.trials)
    assert not again.has_time_for("noisy_anogan-64px", 105)

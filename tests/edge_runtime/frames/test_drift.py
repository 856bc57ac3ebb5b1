from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.frames.drift import DriftMonitor
from edge_runtime.frames.settings import DriftSection
from latentline.scoring.binomial import beta_binomial, binomial, clopper_pearson
from latentline.scoring.thresholds import conformal_threshold

Float64 = npt.NDArray[np.float64]
RATE = 0.05


def _scores(rng: np.random.Generator, count: int) -> Float64:
    """Heavy-tailed, like real scores."""
    return rng.standard_t(3, count) + 0.5 * rng.exponential(2.0, count)


def _grey(rng: np.random.Generator, count: int) -> Float64:
    return rng.normal(120.0, 4.0, count)


def _monitor(
    rng: np.random.Generator, normals: int = 106, section: DriftSection | None = None, own_baseline: bool = False
) -> DriftMonitor:
    scores = _scores(rng, normals)
    brightness = None if own_baseline else _grey(rng, normals)
    return DriftMonitor(section or DriftSection(), scores, brightness, conformal_threshold(scores, RATE), RATE)


def _warnings(monitor: DriftMonitor, threshold: float, scores: Float64, brightness: Float64) -> list[int]:
    """The numbers of the frames at which a warning started."""
    started, before = [], monitor.warning
    for number, (score, grey) in enumerate(zip(scores.tolist(), brightness.tolist(), strict=True)):
        monitor.add(score, grey, score > threshold)
        if monitor.warning is not None and before is None:
            started.append(number)
        before = monitor.warning
    return started


def _line(seed: int, normals: int = 106, own_baseline: bool = False) -> tuple[DriftMonitor, float, np.random.Generator]:
    rng = np.random.default_rng(seed)
    scores = _scores(rng, normals)
    threshold = conformal_threshold(scores, RATE)
    brightness = None if own_baseline else _grey(rng, normals)
    return DriftMonitor(DriftSection(), scores, brightness, threshold, RATE), threshold, rng


@pytest.mark.parametrize("normals", [40, 1000])
def test_unchanged_line_gives_no_warnings(normals: int) -> None:
    """On an unchanged line there is at most one warning per 100,000 frames, whatever the calibration's size: here 8
    stations, each with its own calibration, see 50,000 frames each, which allows 4."""
    warnings = 0
    for seed in range(8):
        monitor, threshold, rng = _line(seed, normals)
        warnings += len(_warnings(monitor, threshold, _scores(rng, 50_000), _grey(rng, 50_000)))
    assert warnings <= 4


def test_rare_real_defects_are_no_drift() -> None:
    """Real defects in five of a hundred frames, of any score and brightness, cause no warning."""
    for seed in range(4):
        monitor, threshold, rng = _line(seed, 1000)
        scores, grey = _scores(rng, 20_000), _grey(rng, 20_000)
        defects = rng.random(20_000) < 0.05
        assert not _warnings(monitor, threshold, scores + 50 * defects, grey - 60 * defects)


def test_neighbours_that_resemble_each_other_are_no_drift() -> None:
    """Ten similar frames of one part do not count as ten independent ones."""
    warnings = 0
    for seed in range(4):
        monitor, threshold, rng = _line(seed)
        scores, grey = _scores(rng, 3000).repeat(10), _grey(rng, 3000).repeat(10)
        warnings += len(_warnings(monitor, threshold, scores, grey))
    assert warnings <= 1


def test_warning_comes_before_alarms_flood() -> None:
    """While scores creep upwards, the warning comes before a fifth of the frames are false alarms."""
    for seed in range(5):
        monitor, threshold, rng = _line(seed, 300)
        creep = np.linspace(0.0, 4.0, 20_000)
        scores = _scores(rng, 20_000) + creep
        (first, *_) = _warnings(monitor, threshold, scores, _grey(rng, 20_000))
        rate = np.mean(_scores(rng, 20_000) + creep[first] > threshold)
        assert rate < 0.2, f"seed {seed}: {rate:.0%} false alarms at the warning"
        assert "scores are higher" in str(monitor.warning)


def test_brightness_alone_is_drift() -> None:
    """A lamp that grows dim causes a warning although the scores do not change."""
    monitor, threshold, rng = _line(0)
    (first,) = _warnings(monitor, threshold, _scores(rng, 600), _grey(rng, 600) - 8.0)
    assert first < 150 and "darker" in str(monitor.warning)
    report = monitor.report()
    assert report.brightness_baseline == "calibration"
    assert report.brightness_mean == pytest.approx(112, abs=1) and report.brightness_shift == pytest.approx(-2, abs=0.5)


def test_brightness_within_the_tolerance_is_no_drift() -> None:
    """A change of one grey level causes no warning, however significant it is."""
    section = DriftSection()
    monitor = DriftMonitor(section, [0.0, 1.0, 2.0], np.full(500, 100.0), 9.0, RATE)
    for number in range(2000):
        monitor.add(float(number % 3), 101.0, False)
    assert monitor.warning is None and monitor.report().brightness_shift == pytest.approx(10.0)


def test_package_without_brightness() -> None:
    """Without a baseline in the package, the first frames of the station are the baseline, and a change is detected."""
    monitor, threshold, rng = _line(0, own_baseline=True)
    assert not _warnings(monitor, threshold, _scores(rng, 300), _grey(rng, 300))
    report = monitor.report()
    assert (report.brightness_baseline, report.brightness_shift) == ("station", None)
    assert report.brightness_mean == pytest.approx(120, abs=1)
    assert _warnings(monitor, threshold, _scores(rng, 600), _grey(rng, 600) + 8.0)
    assert "brighter" in str(monitor.warning)


def test_more_alarms_than_promised() -> None:
    """Too many alarms cause a warning with the rates, also while the median of the scores is unchanged."""
    monitor, threshold, rng = _line(0, 1000)
    scores = _scores(rng, 1000)
    scores[rng.random(1000) < 0.25] = threshold + 1
    scores[rng.random(1000) < 0.25] = np.median(scores) - 3  # so that the mean rank does not change
    assert _warnings(monitor, threshold, scores, _grey(rng, 1000))
    assert "of the frames are abnormal, but the calibration promised at most 5.0% false alarms" in str(monitor.warning)
    report = monitor.report()
    assert report.alarm_interval is not None and report.alarm_rate_seen is not None
    assert report.alarm_interval[0] > report.alarm_rate_promised == RATE
    assert report.alarm_interval[0] < report.alarm_rate_seen < report.alarm_interval[1]


def test_it_does_not_flap() -> None:
    """A line that stays at the limit causes one to three warnings, not more; a line that recovers has none."""
    monitor, threshold, rng = _line(3, 1000)
    started = _warnings(monitor, threshold, _scores(rng, 30_000) + 0.75, _grey(rng, 30_000))
    assert 1 <= len(started) <= 3
    _warnings(monitor, threshold, _scores(rng, 1000), _grey(rng, 1000))
    assert monitor.warning is None


def test_sentence_keeps_its_numbers() -> None:
    """While the causes stay the same, the sentence stays the same, so that it is published once."""
    monitor, threshold, rng = _line(0)
    sentences = set()
    for _ in range(60):
        _warnings(monitor, threshold, _scores(rng, 15) + 5.0, _grey(rng, 15))
        sentences.add(monitor.warning)
    assert len(sentences - {None}) <= 2  # because of the scores, then of the alarms, too


def test_own_threshold_has_its_own_promise() -> None:
    """For a lower threshold, the promised rate follows from the normal scores, and a normal line keeps it."""
    rng = np.random.default_rng(0)
    normals = _scores(rng, 1000)
    threshold = float(np.quantile(normals, 0.7))
    monitor = DriftMonitor(DriftSection(), normals, _grey(rng, 1000), threshold, RATE)
    assert not _warnings(monitor, threshold, _scores(rng, 5000), _grey(rng, 5000))
    assert monitor.report().alarm_rate_promised == pytest.approx(0.3, abs=0.005)


def test_a_report_does_not_hold_up_the_inspection(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the numbers of a report are computed, a frame can be added; the report is of the frames before it."""
    monitor, _, rng = _line(3)
    for score, grey in zip(_scores(rng, 400).tolist(), _grey(rng, 400).tolist(), strict=True):
        monitor.add(score, grey, False)
    before, added = monitor.report(), 0

    def interval(hits: int, count: int) -> tuple[float, float]:
        nonlocal added
        assert monitor._lock.acquire(timeout=0)
        monitor._lock.release()
        monitor.add(50.0, 0.0, True)
        added += 1
        return clopper_pearson(hits, count)

    monkeypatch.setattr("edge_runtime.frames.drift.clopper_pearson", interval)
    assert monitor.report() == before and added == 1
    assert monitor.report() != before


def test_report_before_the_first_frame() -> None:
    """Before the first frame, the promised rate is the only known number."""
    report = _monitor(np.random.default_rng(0)).report()
    assert (report.window, report.median_score, report.alarm_interval, report.warning) == (0, None, None, None)
    assert report.alarm_rate_promised == RATE


@given(
    normals=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    grey=st.none() | st.lists(st.floats(0, 255), min_size=1, max_size=50),
    frames=st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 255), st.booleans()), max_size=60),
    threshold=st.floats(-1e6, 1e6),
)
@settings(max_examples=60)
def test_any_numbers_are_survived(
    normals: list[float], grey: list[float] | None, frames: list[tuple[float, float, bool]], threshold: float
) -> None:
    """Tiny, constant and extreme calibrations and frames raise nothing, and rates stay between 0 and 1."""
    monitor = DriftMonitor(DriftSection(window=100), normals, grey, threshold, RATE)
    for frame in frames * 4:
        monitor.add(*frame)
    report = monitor.report()
    assert 0 < report.alarm_rate_promised <= 1
    if frames:
        assert report.median_quantile is not None and 0 <= report.median_quantile <= 1
        assert report.alarm_interval is not None and report.alarm_rate_seen is not None
        assert 0 <= report.alarm_interval[0] <= report.alarm_rate_seen <= report.alarm_interval[1] <= 1


@pytest.mark.parametrize("law", [lambda: binomial(20, 0.3), lambda: beta_binomial(20, 3.0, 7.0)])
def test_probabilities_sum_to_one(law: Callable[[], Float64]) -> None:
    """The probabilities of each distribution sum to one, and its mean is 20 · 0.3."""
    found = law()
    assert found.sum() == pytest.approx(1) and found @ np.arange(21) == pytest.approx(6)


def test_intervals_of_the_textbook() -> None:
    """Clopper and Pearson's interval: closed forms at the ends, the published values of 10 in 100 between."""
    assert clopper_pearson(0, 50) == pytest.approx((0.0, 1 - 0.025 ** (1 / 50)))
    assert clopper_pearson(50, 50) == pytest.approx((0.025 ** (1 / 50), 1.0))
    assert clopper_pearson(10, 100) == pytest.approx((0.0490, 0.1762), abs=1e-4)


def test_exceedances_follow_the_exact_law() -> None:
    """The number of 60 new values above the 3rd largest of 30 follows the beta-binomial distribution."""
    rng = np.random.default_rng(0)
    values = rng.random((20_000, 90))
    limits = np.sort(values[:, :30], axis=1)[:, -3]
    counts = (values[:, 30:] > limits[:, None]).sum(axis=1)
    simulated = np.bincount(counts, minlength=61) / len(counts)
    assert np.abs(simulated - beta_binomial(60, 3, 28)).max() < 0.01

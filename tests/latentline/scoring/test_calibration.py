"""The score is a weighted sum of standardised components; no part both standardises and sets the threshold."""

import json

from hypothesis import given
from hypothesis import strategies as st

from latentline.scoring.calibration import Calibration, Component
from latentline.scoring.held_out import FEWEST_STANDARDISING, split_held_out


def test_score_is_the_weighted_sum_of_standardised_components() -> None:
    """The score is Σ weight · (value − mean) / std, without unknown components."""
    calibration = Calibration(
        components=(
            Component(name="a", mean=1, std=2, weight=0.5),
            Component(name="b", mean=0, std=1, weight=2),
        ),
        threshold=1,
        map_threshold=1,
        false_alarm_rate=0.1,
        scored_normals=9,
        standardised_normals=8,
    )
    assert calibration.score({"a": 5, "b": -1, "unused": 9}) == (0.5 * 2 - 2, {"a": 2.0, "b": -1.0})


def test_a_calibration_of_an_older_version_is_read() -> None:
    """It has no promise, and the same score and threshold as then."""
    old = {
        "components": [
            {"name": "d_frame", "mean": 1, "std": 2, "weight": 0.5},
            {"name": "l2_1px", "mean": 0, "std": 1, "weight": 0.5},
        ],
        "threshold": 1.5,
        "map_threshold": 2.5,
        "false_alarm_rate": 0.05,
        "scored_normals": 20,
        "standardised_normals": 10,
        "validation": None,
    }
    read = Calibration.model_validate_json(json.dumps(old))
    assert read.promise is None and read.threshold == 1.5
    assert read.score({"d_frame": 5, "l2_1px": 3}) == (2.5, {"d_frame": 2.0, "l2_1px": 3.0})
    assert Calibration.model_validate_json(read.model_dump_json()) == read


@given(st.integers(3, 60), st.integers(1, 5), st.integers(0, 9))
def test_no_part_both_standardises_and_sets_the_threshold(count: int, per_group: int, seed: int) -> None:
    """The images of a part either standardise components or set the threshold."""
    names = [str(i) for i in range(count)]
    groups = {name: f"part{int(name) // per_group}" for name in names}
    first, second = split_held_out(names, groups, seed)
    assert sorted(first + second, key=int) == names
    assert not {groups[n] for n in first} & {groups[n] for n in second}
    assert len(first) >= min(count, max(FEWEST_STANDARDISING, count / 3))

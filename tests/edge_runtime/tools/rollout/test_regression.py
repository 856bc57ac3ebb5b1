"""What counts as a regression, and what does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.topics import Topics
from edge_runtime.tools.listen.messages import Frames
from edge_runtime.tools.rollout.regression import BeforeSwitch, more_abnormal, regression
from edge_runtime.tools.rollout.watched_station import WatchedStation

NEW = "cd" * 32
TOPICS = Topics("l", "s")


def _view(*codes: str, state: str = "degraded", boot: str = "1", model: str = NEW) -> WatchedStation:
    view = WatchedStation(TOPICS)
    reasons = [{"code": code, "message": f"about {code}"} for code in codes]
    birth = {"software": {"name": "l", "version": "0"}, "model": {"name": "m", "sha256": model}, "backend": "b"}
    for topic, body in (
        (TOPICS.status, {"at": "t", "state": state, "reasons": reasons, "boot_id": boot}),
        (TOPICS.birth, {"at": "t", **birth, "threshold": 1.0, "cameras": []}),
    ):
        view.take(Received(topic, json.dumps(body).encode()))
    return view


def _judged(view: WatchedStation, known: tuple[str, ...] = (), after: Any = None, before: Any = None) -> str | None:
    return regression(view, BeforeSwitch("1", frozenset(known), before), NEW, after)


def test_a_station_that_is_well_is_no_regression() -> None:
    """Nor is one that was not well before, or that has lost its broker or a camera since."""
    assert _judged(_view(state="online")) is None
    assert _judged(_view("drift"), known=("drift",)) is None
    assert _judged(_view("broker", "camera.top", "disk.space", "spool", "http")) is None


@pytest.mark.parametrize("code", ["drift", "inspector", "watchdog.inspector", "memory", "camera.top.late"])
def test_new_reasons_that_a_model_gives(code: str) -> None:
    """The sentence is that of the station."""
    assert _judged(_view("broker", code)) == f"{code}: about {code}"


def test_a_station_that_is_gone_or_another() -> None:
    """It stopped, started again, or somebody has switched it."""
    assert _judged(_view(state="stopped")) == "it is stopped"
    assert _judged(_view(boot="2")) == "its process has started again"
    assert _judged(_view(model="ab" * 32)) == "it runs another model now"


def test_a_broker_that_restarts_is_no_regression() -> None:
    """It may say for a while that a station is offline; only one that stays so is lost, or one without `health`."""
    now = [0.0]
    view = WatchedStation(TOPICS, lambda: now[0])
    numbers = {"uptime_seconds": 1, "frames": {"inspected": 1, "abnormal": 0}, "events": {"waiting": 0}}
    health = {"at": "t", "state": "online", "faults": [], **numbers, "process": {"rss_bytes": 1}}
    view.take(Received(TOPICS.health, json.dumps(health).encode()))

    def say(state: str, seconds: float) -> str | None:
        view.take(
            Received(TOPICS.status, json.dumps({"at": "t", "state": state, "reasons": [], "boot_id": "1"}).encode())
        )
        now[0] += seconds
        return view.loss

    assert say("online", 20) is None and say("offline", 20) is None and say("offline", 20) == "it is offline"
    assert say("online", 20) is None and say("online", 20) == "it has sent no health message for 90 s"


def test_what_is_no_message_changes_nothing() -> None:
    """Anybody may publish there."""
    view = _view(state="online")
    for topic in (TOPICS.status, TOPICS.birth, TOPICS.health):
        for payload in (b"", b"[" * 100_000, b"{}", b"\xff", b'{"state": 1}'):
            view.take(Received(topic, payload))
    assert _judged(view) is None and view.health is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((10_000, 100), (1000, 10), False),  # as before
        ((10_000, 100), (1000, 14), False),  # chance
        ((10_000, 100), (1000, 40), True),
        ((1_000_000, 10_000), (1_000_000, 12_000), False),  # certain, and small
        ((1_000_000, 10_000), (1_000_000, 16_000), True),
        ((100, 0), (3, 1), False),  # too few
        ((100, 0), (20, 20), True),
        ((0, 0), (20, 20), False),  # nothing to compare with
        ((100, 50), (0, 0), False),
        ((100, 100), (100, 0), False),
    ],
)
def test_a_rise_of_the_share_of_abnormal_frames(
    before: tuple[int, int], after: tuple[int, int], expected: bool
) -> None:
    """It counts where it is large, and more than chance explains."""
    frames = [Frames(inspected=inspected, abnormal=abnormal) for inspected, abnormal in (after, before)]
    assert more_abnormal(frames[0], frames[1]) is expected


@given(data=st.tuples(*[st.integers(0, 10**6)] * 4))
def test_no_counts_are_an_error(data: tuple[int, int, int, int]) -> None:
    """Whatever a station sends, within what its schema allows."""
    first, second = sorted(data[:2]), sorted(data[2:])
    more_abnormal(Frames(inspected=first[1], abnormal=first[0]), Frames(inspected=second[1], abnormal=second[0]))

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.supervision.state import Health, State

_ALLOWED = {
    ("starting", "starting"),
    ("starting", "online"),
    ("starting", "degraded"),
    ("online", "degraded"),
    ("degraded", "online"),
    ("degraded", "degraded"),  # other reasons
}
_EVENTS = st.one_of(
    st.just(("ready", None)),
    st.just(("stopping", None)),
    st.tuples(st.sampled_from(["broker", "camera.top", "disk"]), st.sampled_from([None, "it fails", "it hangs"])),
)


def _call(health: Health, code: str, sentence: str | None) -> None:
    if code == "ready":
        health.ready()
    elif code == "stopping":
        health.stopping()
    else:
        health.fault(code, sentence)


def test_states_of_a_station() -> None:
    """A station is starting, online, degraded with its fault, online again, stopped, and reports each change."""
    changes: list[tuple[State, Mapping[str, str]]] = []
    health = Health(lambda state, faults: changes.append((state, faults)))
    first = health.state
    health.ready()
    health.fault("broker", "no answer")
    health.fault("broker", None)
    health.stopping()
    assert (first, health.state) == ("starting", "stopped")
    assert changes == [("online", {}), ("degraded", {"broker": "no answer"}), ("online", {})]


def test_the_log_has_each_cause_of_a_fault_once(caplog: pytest.LogCaptureFixture) -> None:
    """A fault that turns out to have another cause is logged again; one whose numbers alone change is not."""
    health = Health(lambda state, faults: None)
    lost, pause = "the connection was lost", "wrong password; next try in {} s"
    with caplog.at_level(logging.INFO):
        for sentence in (lost, pause.format(1), pause.format(2), lost, None, lost):
            health.fault("broker", sentence)
    assert caplog.messages == [lost, pause.format(1), "broker: the fault is over", lost]


def test_a_fault_before_ready_remains() -> None:
    """A fault before `ready` leaves the station starting, and makes it degraded as soon as it is ready."""
    health = Health(lambda state, faults: None)
    health.fault("broker", "no answer")
    before = health.state
    health.ready()
    assert (before, health.state) == ("starting", "degraded")


@given(st.lists(_EVENTS, max_size=30))
def test_no_other_transition(events: list[tuple[str, str | None]]) -> None:
    """Any order of calls makes only allowed transitions, none after `stopped`; `degraded` always has a fault."""
    changes: list[tuple[State, Mapping[str, str]]] = []
    health = Health(lambda state, faults: changes.append((state, faults)))
    before: tuple[State, Mapping[str, str]] = ("starting", {})
    for code, sentence in events:
        _call(health, code, sentence)
        if health.state == "stopped":
            assert not changes
            before = ("stopped", {})
            continue
        assert len(changes) <= 1
        for now in changes:
            assert (before[0], now[0]) in _ALLOWED
            assert now != before
            assert (now[0] == "degraded") == bool(now[1]) or now[0] == "starting"
            before = now
        changes.clear()
        assert before == (health.state, health.faults)

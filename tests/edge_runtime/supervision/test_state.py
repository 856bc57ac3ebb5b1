from __future__ import annotations

from collections.abc import Mapping

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


def _tell(health: Health, code: str, sentence: str | None) -> None:
    if code == "ready":
        health.ready()
    elif code == "stopping":
        health.stopping()
    else:
        health.fault(code, sentence)


def test_way_of_a_station() -> None:
    """Starting, online, degraded with its reason, online again, stopped; and what a listener hears of it."""
    heard: list[tuple[State, Mapping[str, str]]] = []
    health = Health(lambda state, faults: heard.append((state, faults)))
    seen = [health.state]
    health.ready()
    health.fault("broker", "no answer")
    health.fault("broker", None)
    health.stopping()
    assert [*seen, health.state] == ["starting", "stopped"]
    assert heard == [("online", {}), ("degraded", {"broker": "no answer"}), ("online", {})]


def test_faults_of_the_start_are_there_when_it_is_ready() -> None:
    """A fault before `ready` leaves the station starting, and makes it degraded as soon as it is ready."""
    health = Health(lambda state, faults: None)
    health.fault("broker", "no answer")
    before = health.state
    health.ready()
    assert (before, health.state) == ("starting", "degraded")


@given(st.lists(_EVENTS, max_size=30))
def test_no_other_transition(events: list[tuple[str, str | None]]) -> None:
    """Whatever happens in whatever order: only the drawn transitions, nothing after `stopped`, reasons never lie."""
    heard: list[tuple[State, Mapping[str, str]]] = []
    health = Health(lambda state, faults: heard.append((state, faults)))
    before: tuple[State, Mapping[str, str]] = ("starting", {})
    for code, sentence in events:
        _tell(health, code, sentence)
        if health.state == "stopped":
            assert not heard
            before = ("stopped", {})
            continue
        assert len(heard) <= 1
        for now in heard:
            assert (before[0], now[0]) in _ALLOWED
            assert now != before
            assert (now[0] == "degraded") == bool(now[1]) or now[0] == "starting"
            before = now
        heard.clear()
        assert before == (health.state, health.faults)

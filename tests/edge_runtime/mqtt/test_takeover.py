from __future__ import annotations

from edge_runtime.mqtt.takeover import TakeoverDetector
from edge_runtime.mqtt.unsteady import UnsteadyConnections
from edge_runtime.pacing import Backoff


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_takeover_is_over_when_the_connection_was_kept() -> None:
    """A takeover is over, once, after three pauses without a disconnect; not before, and not without a takeover."""
    clock, ordinary = Clock(), Backoff(1.0, 30.0)
    takeover = TakeoverDetector(ordinary, clock)
    takeover.connected()
    clock.now = 1000.0
    assert not takeover.over()
    takeover.ended(taken_over=True)
    clock.now += 1000.0
    assert not takeover.over()
    takeover.connected()
    clock.now += 89.0
    assert not takeover.over()
    clock.now += 2.0
    assert takeover.over() and not takeover.over()
    assert ordinary.pause() == 1.0


def test_lost_connections_are_no_takeover() -> None:
    """However often a connection just ends, there is no takeover whose end could be told."""
    clock = Clock()
    takeover = TakeoverDetector(Backoff(1.0, 30.0), clock)
    for _ in range(10):
        takeover.connected()
        takeover.ended(taken_over=False)
    takeover.connected()
    clock.now += 1000.0
    assert not takeover.over()


def test_sentence_names_id_broker_and_pause() -> None:
    """The sentence says what to change, and when the station tries again."""
    takeover = TakeoverDetector(Backoff(1.0, 10.0), Clock())
    takeover.ended(taken_over=True)
    sentence = takeover.sentence("line-1", "broker:1883")
    assert all(part in sentence for part in ("'line-1'", "broker:1883", "station.id", "10 s"))


def _closed(unsteady: UnsteadyConnections) -> bool:
    """Connected, and closed by the broker at once and without a reason."""
    unsteady.connected()
    unsteady.ended(True)
    return unsteady.unsteady


def test_three_short_connections_in_a_row_are_unsteady() -> None:
    """An absent broker or a long connection starts the count again; a connection that holds is the end, once."""
    clock = Clock()
    unsteady = UnsteadyConnections(clock)
    assert [_closed(unsteady) for _ in range(2)] == [False, False]
    unsteady.ended(False)
    assert [_closed(unsteady) for _ in range(2)] == [False, False]
    unsteady.connected()
    clock.now += 61.0
    unsteady.ended(True)
    assert [_closed(unsteady) for _ in range(3)] == [False, False, True]
    unsteady.connected()
    clock.now += 59.0
    assert not unsteady.over()
    clock.now += 2.0
    assert unsteady.over() and not unsteady.over() and not unsteady.unsteady
    assert [_closed(unsteady) for _ in range(3)] == [False, False, True]

from __future__ import annotations

from edge_runtime.mqtt.takeover import TakeoverDetector
from edge_runtime.pacing import Backoff


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _disconnect(takeover: TakeoverDetector, *, taken_over: bool = False) -> bool:
    """Connected, and disconnected by the broker at once."""
    takeover.connected()
    return takeover.ended(True, taken_over=taken_over)


def test_reason_code_is_enough() -> None:
    """The reason 0x8E means a takeover, the first time."""
    assert _disconnect(TakeoverDetector(Backoff(1.0, 30.0), Clock()), taken_over=True)


def test_without_a_reason_code_it_takes_three_in_a_row() -> None:
    """One lost connection is no takeover; an absent broker or a long connection starts the count again."""
    clock = Clock()
    takeover = TakeoverDetector(Backoff(1.0, 30.0), clock)
    assert [_disconnect(takeover) for _ in range(2)] == [False, False]
    assert not takeover.ended(False, taken_over=False)
    assert [_disconnect(takeover) for _ in range(2)] == [False, False]
    takeover.connected()
    clock.now += 61.0
    assert not takeover.ended(True, taken_over=False)
    assert [_disconnect(takeover) for _ in range(2)] == [False, True]


def test_takeover_is_over_when_the_connection_was_kept() -> None:
    """A takeover is over, once, after three pauses without a disconnect; not before, and not without a takeover."""
    clock, ordinary = Clock(), Backoff(1.0, 30.0)
    takeover = TakeoverDetector(ordinary, clock)
    takeover.connected()
    clock.now = 1000.0
    assert not takeover.over()
    _disconnect(takeover, taken_over=True)
    clock.now += 1000.0
    assert not takeover.over()
    takeover.connected()
    clock.now += 89.0
    assert not takeover.over()
    clock.now += 2.0
    assert takeover.over() and not takeover.over()
    assert ordinary.pause() == 1.0


def test_sentence_names_id_broker_and_pause() -> None:
    """The sentence says what to change, and when the station tries again."""
    takeover = TakeoverDetector(Backoff(1.0, 10.0), Clock())
    _disconnect(takeover, taken_over=True)
    sentence = takeover.sentence("line-1", "broker:1883")
    assert all(part in sentence for part in ("'line-1'", "broker:1883", "station.id", "10 s"))

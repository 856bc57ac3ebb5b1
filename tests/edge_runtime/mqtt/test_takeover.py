from __future__ import annotations

from edge_runtime.mqtt.takeover import TakeoverDetector
from edge_runtime.pacing import Backoff


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _thrown_out(takeover: TakeoverDetector, *, said: bool = False) -> bool:
    """Connected, and thrown out at once."""
    takeover.connected()
    return takeover.ended(True, said=said)


def test_the_brokers_word_is_enough() -> None:
    """0x8E means a takeover, at the first time."""
    assert _thrown_out(TakeoverDetector(Backoff(1.0, 30.0), Clock()), said=True)


def test_without_a_word_it_takes_three_in_a_row() -> None:
    """One cut line is no takeover; a broker that was away, or a connection that stood a while, begins a new row."""
    clock = Clock()
    takeover = TakeoverDetector(Backoff(1.0, 30.0), clock)
    assert [_thrown_out(takeover) for _ in range(2)] == [False, False]
    assert not takeover.ended(False, said=False)
    assert [_thrown_out(takeover) for _ in range(2)] == [False, False]
    takeover.connected()
    clock.now += 61.0
    assert not takeover.ended(True, said=False)
    assert [_thrown_out(takeover) for _ in range(2)] == [False, True]


def test_rival_is_gone_when_the_place_was_kept() -> None:
    """Three pauses without being thrown out end the matter, once; before, and without a takeover, nothing ends."""
    clock, ordinary = Clock(), Backoff(1.0, 30.0)
    takeover = TakeoverDetector(ordinary, clock)
    takeover.connected()
    clock.now = 1000.0
    assert not takeover.gone()
    _thrown_out(takeover, said=True)
    clock.now += 1000.0
    assert not takeover.gone()
    takeover.connected()
    clock.now += 89.0
    assert not takeover.gone()
    clock.now += 2.0
    assert takeover.gone() and not takeover.gone()
    assert ordinary.pause() == 1.0


def test_sentence_names_id_broker_and_pause() -> None:
    """Whoever reads it knows what to change and when the station tries again."""
    takeover = TakeoverDetector(Backoff(1.0, 10.0), Clock())
    _thrown_out(takeover, said=True)
    sentence = takeover.sentence("line-1", "broker:1883")
    assert all(part in sentence for part in ("'line-1'", "broker:1883", "station.id", "10 s"))

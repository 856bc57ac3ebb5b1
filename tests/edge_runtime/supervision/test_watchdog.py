from __future__ import annotations

from edge_runtime.supervision.watchdog import Watchdog


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_late_stage_is_a_fault_until_it_shows_life() -> None:
    """A stage that works longer than its limit is reported once, with its sentence, and again when it is not late."""
    clock, calls = _Clock(), list[tuple[str, str | None]]()
    watchdog = Watchdog(lambda code, sentence: calls.append((code, sentence)), clock)
    stage = watchdog.stage("inspector", 30.0, "the inspector has worked on one frame")
    stage.busy()
    clock.now += 30.0
    assert watchdog.check() == frozenset()
    clock.now += 0.1
    assert watchdog.check() == watchdog.troubled == {"watchdog.inspector"}
    stage.busy()
    assert watchdog.check() == frozenset()
    assert calls == [
        ("watchdog.inspector", "the inspector has worked on one frame for more than 30 s"),
        ("watchdog.inspector", None),
    ]


def test_idle_stage_is_never_late() -> None:
    """An idle stage is never late, also after its work raised."""
    clock = _Clock()
    watchdog = Watchdog(lambda code, sentence: None, clock)
    stage = watchdog.stage("spool", 1.0, "an event has been on its way to the disk")
    clock.now += 99
    assert not watchdog.check()
    try:
        with stage.working():
            clock.now += 2
            assert watchdog.check() == {"watchdog.spool"}
            raise OSError
    except OSError:
        pass
    clock.now += 99
    assert not watchdog.check()


def test_each_stage_has_its_own_limit() -> None:
    """A stage that shows signs of life does not hide one that hangs."""
    clock = _Clock()
    watchdog = Watchdog(lambda code, sentence: None, clock)
    sender, inspector = watchdog.stage("sender", 5.0, "a"), watchdog.stage("inspector", 5.0, "b")
    inspector.busy()
    for _ in range(7):
        sender.busy()
        clock.now += 1
        watchdog.check()
    assert watchdog.troubled == {"watchdog.inspector"}

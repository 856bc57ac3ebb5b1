from __future__ import annotations

from edge_runtime.supervision.watchdog import Watchdog


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_late_stage_is_named_and_called_right_again() -> None:
    """A stage that works longer than its limit is a fault with its sentence, once, until it shows a sign of life."""
    clock, heard = _Clock(), list[tuple[str, str | None]]()
    watchdog = Watchdog(lambda code, sentence: heard.append((code, sentence)), clock)
    stage = watchdog.stage("inspector", 30.0, "the inspector has worked on one frame")
    stage.busy()
    clock.now += 30.0
    assert watchdog.check() == frozenset()
    clock.now += 0.1
    assert watchdog.check() == watchdog.late == {"watchdog.inspector"}
    stage.busy()
    assert watchdog.check() == frozenset()
    assert heard == [
        ("watchdog.inspector", "the inspector has worked on one frame for more than 30 s"),
        ("watchdog.inspector", None),
    ]


def test_idle_stage_is_never_late() -> None:
    """Who waits for work may wait for ever, after a fault of the work too."""
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


def test_stages_are_judged_apart() -> None:
    """A stage that beats does not hide one that hangs."""
    clock = _Clock()
    watchdog = Watchdog(lambda code, sentence: None, clock)
    sender, inspector = watchdog.stage("sender", 5.0, "a"), watchdog.stage("inspector", 5.0, "b")
    inspector.busy()
    for _ in range(7):
        sender.busy()
        clock.now += 1
        watchdog.check()
    assert watchdog.late == {"watchdog.inspector"}

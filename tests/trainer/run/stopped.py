"""Trainings that something stops, for processes of their own."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from trainer import cli
from trainer.loops.gan import GanTraining
from trainer.loops.phases import PhasedTraining


def fit_signalled(number: signal.Signals, step: int, training: str, arguments: Sequence[str]) -> None:
    """`latentline-train` with these arguments, whose process sends itself a signal before the step of this number.

    training  "gan": steps of the game are counted, from the start of this process; "phases": of all phases
    """
    left = step

    def counted(take: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def signalled(self: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1:
                os.kill(os.getpid(), number)
            return take(self)

        return signalled

    kind: Any = PhasedTraining if training == "phases" else GanTraining
    kind.step = counted(kind.step)
    sys.exit(cli.main(arguments))


def fit_on_a_full_disk(arguments: Sequence[str]) -> None:
    """`latentline-train` with these arguments, whose files the kernel keeps from growing beyond 20 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    sys.exit(cli.main(arguments))

"""The trials of a choice, one after the other, for as long as there is time."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

from latentline.base.durations import duration
from latentline.errors import CheckpointError, DatasetError, DivergenceError, StoppedError
from trainer.choose.candidates import Candidate
from trainer.choose.own_log import own_log_only
from trainer.choose.trial import Trial, finished_trial, run_trial

log = logging.getLogger(__name__)


class Course:
    """Begins no trial that would not be finished in time, as far as the finished ones tell; but the first one always.

    out      folder of the trials
    seconds  for all of them
    trials   the finished ones
    failed   why a candidate could not be used, by its name
    unbegun  names of those for which no time was left
    """

    def __init__(
        self, out: Path, seconds: float, device: str = "auto", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out, self._device, self._clock = out, device, clock
        self._end = clock() + seconds
        self.trials: list[Trial] = []
        self.failed: dict[str, str] = {}
        self.unbegun: list[str] = []

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when they are over."""
        return max(0.0, self._end - self._clock())

    def has_time_for(self, name: str, needed: float, share: float = 1.0) -> bool:
        """Whether `needed` seconds are within this share of those left, or `name` is finished; else says so."""
        if not self.trials or needed <= share * self.left or finished_trial(self._out / name) is not None:
            return True
        log.warning("%s is not tried: it would take %s or more, and %s left", name, duration(needed), self._left())
        self.unbegun.append(name)
        return False

    def run(self, own: Candidate, tiles: int, seconds: float, title: str = "") -> None:
        """Train a candidate for about `seconds`, and evaluate it. tiles: of an image; title: what to say of it.

        One that cannot be used on these images, or whose training diverges, is left out. Raises ConfigError,
        StoppedError and TrainingError.
        """
        log.info("%s%s", own.name, title)
        try:
            with own_log_only():
                trial = run_trial(own, self._out / own.name, seconds, tiles, self._device)
        except (StoppedError, KeyboardInterrupt) as error:  # in a training, in an evaluation
            number = error.number if isinstance(error, StoppedError) else signal.SIGINT
            left = f"what is finished ({len(self.trials)}) is kept in {self._out}"
            raise StoppedError(number, f"{left}, and the same command goes on from there") from None
        except (CheckpointError, DatasetError, DivergenceError) as error:
            log.warning("%s is left out: %s", own.name, error)
            self.failed[own.name] = str(error)
        else:
            log.info("%s", trial.sentence)
            self.trials.append(trial)

    def _left(self) -> str:
        return f"{duration(self.left)} are" if self.left else "no time is"

"""Runs a candidate beside the running model, on some of the live frames, and counts where their verdicts differ."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from edge_runtime.cameras.base import Frame
from edge_runtime.kept_thread import KeptThread
from edge_runtime.mqtt.events import utc
from edge_runtime.pacing import Backoff
from edge_runtime.shadow.candidate import CandidateEndedError, CandidateProcess, CandidateScore
from edge_runtime.shadow.settings import ShadowSection
from edge_runtime.supervision.shadow_numbers import ShadowChange, ShadowNumbers
from latentline.evidence.tally import EvidenceTally
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity
from latentline.package.model_package import Admit

_SCORE_SECONDS = 60.0  # for one frame, at the lowest priority
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 600.0  # after a failure
_NEWEST = 20  # changes and times that are kept
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _OfferedFrame:
    frame: Frame
    inspection: InspectionResult
    against: tuple[str, float]  # model and threshold of the verdict


class Shadow:
    """`offer` and `numbers` never wait; a thread sends frames to the candidate's process and counts the answers.

    admit  raises PackageError for a package that this station does not trust; it goes to another process. None: any
    A candidate that fails is started again after a pause. It is no fault of the station: `numbers.error` says why.
    """

    def __init__(self, settings: ShadowSection, admit: Admit | None = None) -> None:
        self._settings, self._admit = settings, admit
        self._slot: queue.SimpleQueue[_OfferedFrame | None] = queue.SimpleQueue()
        self._wanted = False
        self._closed = threading.Event()
        self._candidate: CandidateProcess | None = None
        self._identity: ModelIdentity | None = None
        self._pauses = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._lock = threading.Lock()  # held for the time of a few sums
        self._missed = 0  # frames offered while another thread held it; the station's thread alone counts them
        self._numbers, self._tally = ShadowNumbers(), EvidenceTally()
        self._against: tuple[str, float] | None = None
        self._times: deque[float] = deque(maxlen=_NEWEST)
        self.thread = KeptThread("shadow", self._run)

    def offer(self, frame: Frame, inspection: InspectionResult, model: ModelIdentity) -> None:
        """Let the candidate score an inspected frame if it has time now. Called by the station's thread."""
        if not self._lock.acquire(blocking=False):  # whoever has it may wait for a processor
            self._missed += 1
            return
        try:
            against = model.sha256, inspection.threshold
            if against != self._against:
                self._start_anew(against)
            missed, self._missed = self._missed, 0
            self._numbers = replace(self._numbers, skipped=self._numbers.skipped + missed + (not self._wanted))
            if self._wanted:
                self._wanted = False
                self._slot.put(_OfferedFrame(frame, inspection, against))
        finally:
            self._lock.release()

    @property
    def numbers(self) -> ShadowNumbers:
        """The counters. Any thread may ask."""
        with self._lock:
            milliseconds = float(np.median(self._times)) if self._times else 0.0
            skipped = self._numbers.skipped + self._missed
            verdicts = self._tally.table.unlabelled
            return replace(self._numbers, skipped=skipped, verdicts=verdicts, milliseconds=milliseconds)

    @property
    def pid(self) -> int | None:
        """The candidate's process; None: there is none now."""
        candidate = self._candidate
        return None if candidate is None else candidate.pid

    def close(self, seconds: float) -> None:
        """End the candidate, in `seconds` at most."""
        self._closed.set()
        self._slot.put(None)
        if (candidate := self._candidate) is not None:
            candidate.kill()
        self.thread.join(seconds)

    def _run(self) -> None:
        while not self._closed.is_set():
            reason = self._attempt()
            if reason is not None and not self._closed.is_set():
                self._failed(reason)

    def _attempt(self) -> str | None:
        """Work as long as the candidate does; why it does not any more."""
        try:
            self._work()
        except CandidateEndedError as error:
            return str(error)
        except OSError as error:  # no process, no memory
            return f"its process cannot be started ({error.strerror})"
        finally:
            self._end_candidate()
        return None

    def _work(self) -> None:
        """Open the candidate and score frames until it ends or the shadow closes."""
        self._candidate = CandidateProcess(self._settings.model, self._admit)
        self._identity = identity = self._candidate.identity()
        with self._lock:
            self._numbers = replace(
                self._numbers, name=identity.name, sha256=identity.sha256, threshold=identity.threshold, error=None
            )
        while not self._closed.is_set():
            with self._lock:
                self._wanted = True
            offered = self._slot.get()
            if offered is None:
                return
            start = time.monotonic()
            answer = self._candidate.score(offered.frame.picture, _SCORE_SECONDS)
            seconds = time.monotonic() - start
            self._count(offered, answer, seconds)
            self._pauses.reset()
            self._closed.wait(rest_seconds(seconds, self._settings.share))

    def _count(self, offered: _OfferedFrame, answer: CandidateScore, seconds: float) -> None:
        assert self._identity is not None
        with self._lock:
            if offered.against != self._against:  # the running model has changed since
                return
            if answer.error is not None or not math.isfinite(answer.score):
                self._numbers = replace(self._numbers, unusable=self._numbers.unusable + 1)
                return
            inspection, frame = offered.inspection, offered.frame
            margins = inspection.score - inspection.threshold, answer.score - self._identity.threshold
            self._tally.add(margins[0] > 0, margins[1] > 0)
            self._times.append(1e3 * seconds)
            self._numbers = replace(self._numbers, scored=self._numbers.scored + 1)
            if (margins[0] > 0) != (margins[1] > 0):
                change = ShadowChange(frame.camera, frame.source, utc(frame.captured_at), *margins)
                self._numbers = replace(self._numbers, changes=(*self._numbers.changes, change)[-_NEWEST:])

    def _start_anew(self, against: tuple[str, float]) -> None:
        """Count from 0: these are verdicts of another model, or by another threshold. The caller holds the lock."""
        old = self._numbers
        self._against, self._tally = against, EvidenceTally()
        self._numbers = ShadowNumbers(old.name, old.sha256, old.threshold, against[0], error=old.error)

    def _failed(self, reason: str) -> None:
        pause = self._pauses.pause()
        sentence = f"the candidate {self._settings.model} does not work: {reason}"
        _log.warning("%s; the station tries again in %g s", sentence, pause)
        with self._lock:
            self._wanted = False
            self._numbers = replace(self._numbers, failed=self._numbers.failed + 1, error=sentence)
        self._closed.wait(pause)

    def _end_candidate(self) -> None:
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.close()
        while not self._slot.empty():
            self._slot.get()


def rest_seconds(worked: float, share: float) -> float:
    """How long to rest after work of so many seconds, so that the work takes `share` of the time."""
    return worked * (1 / share - 1)

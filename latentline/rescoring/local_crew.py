"""A crew of processes on this machine."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from latentline.errors import LatentlineError
from latentline.package.model_package import ModelPackage
from latentline.rescoring.crew import Batch, Finished

_READY = "ready"
_END_SECONDS = 5.0  # for a process to end by itself


@dataclass(eq=False)
class _Colleague:
    process: BaseProcess
    connection: Connection
    ready: bool = False
    batch: Batch | None = None


class LocalCrew:
    """`Crew` of processes, each with the package opened on one CPU thread."""

    def __init__(self, package: ModelPackage, workers: int) -> None:
        self._package, self._context = package, get_context("spawn")  # OpenVINO's threads do not survive a fork
        self._colleagues = [self._start() for _ in range(workers)]

    def idle(self) -> bool:
        """As `Crew.idle`."""
        return self._idle() is not None

    def give(self, batch: Batch) -> None:
        """As `Crew.give`."""
        colleague = self._idle()
        assert colleague is not None
        colleague.batch = batch
        try:
            colleague.connection.send(batch)
        except OSError:  # it has just ended; `wait` finds that out
            colleague.ready = False

    def wait(self) -> list[Finished]:
        """As `Crew.wait`. Raises what a process says it cannot do."""
        ready = wait([colleague.connection for colleague in self._colleagues])
        return [f for c in list(self._colleagues) if c.connection in ready and (f := self._hear(c)) is not None]

    def close(self) -> None:
        """As `Crew.close`."""
        for colleague in self._colleagues:
            colleague.connection.close()  # at which it ends
            if colleague.batch is not None or not colleague.ready:
                colleague.process.terminate()
        for colleague in self._colleagues:
            colleague.process.join(_END_SECONDS)
            if colleague.process.is_alive():
                colleague.process.kill()
                colleague.process.join()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [colleague.process.pid or 0 for colleague in self._colleagues]

    def _idle(self) -> _Colleague | None:
        return next((c for c in self._colleagues if c.ready and c.batch is None), None)

    def _start(self) -> _Colleague:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(self._package, theirs), daemon=True, name="scorer")
        process.start()
        theirs.close()
        return _Colleague(process, ours)

    def _hear(self, colleague: _Colleague) -> Finished | None:
        """What a process has to say; None: that it is ready."""
        try:
            message: Any = colleague.connection.recv()
        except (EOFError, OSError):
            return self._replace(colleague)
        if isinstance(message, LatentlineError):
            raise message
        if message == _READY:
            colleague.ready = True
            return None
        batch, colleague.batch = colleague.batch, None
        return Finished(batch, message)

    def _replace(self, colleague: _Colleague) -> Finished:
        colleague.connection.close()
        colleague.process.join()
        self._colleagues[self._colleagues.index(colleague)] = self._start()
        return Finished(colleague.batch, None, _cause(colleague.process.exitcode))


def _cause(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"a process got {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    return f"a process ended with exit code {code}"


def _work(package: ModelPackage, connection: Connection) -> None:
    """The life of a process: open the package, then score batches until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends us
    from latentline.rescoring.scorer import PictureScorer  # loads OpenVINO

    try:
        scorer = PictureScorer(package)
    except LatentlineError as error:
        connection.send(error)
        return
    connection.send(_READY)
    try:
        while True:
            batch: Batch = connection.recv()
            connection.send(scorer.score(batch.pictures))
    except (EOFError, OSError):
        return  # the other side has closed, or has gone
    finally:
        scorer.close()

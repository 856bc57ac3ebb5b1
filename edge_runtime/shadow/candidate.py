"""The candidate in a process of its own, so that it takes neither the interpreter nor the life of the station."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from latentline.errors import ImageError, LatentlineError
from latentline.package.identity import ModelIdentity
from latentline.package.model_package import Admit
from latentline.vision.bit_depth import UInt8

_OPEN_SECONDS = 120.0  # to load a package, compile its graphs and run its self-test
_END_SECONDS = 1.0
_NICENESS = 19


class CandidateEndedError(Exception):
    """The process ended, hung, or could not open the package. The message is a sentence."""


@dataclass(frozen=True)
class CandidateScore:
    """What the candidate says of a frame. error: why it could not be used; then the score means nothing."""

    score: float
    error: str | None = None


class CandidateProcess:
    """A process with the opened package at `path`. One thread may use it, and any thread may `kill` it.

    admit  as for `open_model`
    """

    def __init__(self, path: Path, admit: Admit | None = None) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(path, admit, theirs), daemon=True, name="shadow")
        self._process.start()
        theirs.close()

    def identity(self) -> ModelIdentity:
        """The model, once it is open. Raises CandidateEndedError."""
        return self._answer(_OPEN_SECONDS, ModelIdentity)  # type: ignore[no-any-return]

    def score(self, image: UInt8, seconds: float) -> CandidateScore:
        """Score a frame [H, W, C]. Raises CandidateEndedError, also after `seconds` without an answer."""
        try:
            self._connection.send(image.shape)
            self._connection.send_bytes(np.ascontiguousarray(image).reshape(-1).data)  # without a copy
        except OSError:
            raise CandidateEndedError(self._end()) from None
        return self._answer(seconds, CandidateScore)  # type: ignore[no-any-return]

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    def kill(self) -> None:
        """End the process at once; a thread that waits for it gets CandidateEndedError."""
        self._process.kill()

    def close(self) -> None:
        """Release everything."""
        self.kill()
        self._process.join(_END_SECONDS)
        self._connection.close()

    def _answer(self, seconds: float, kind: type) -> Any:
        try:
            if not self._connection.poll(seconds):
                raise CandidateEndedError(f"it has not answered for {seconds:g} s")
            answer = self._connection.recv()
        except (EOFError, OSError):
            raise CandidateEndedError(self._end()) from None
        if isinstance(answer, kind):
            return answer
        raise CandidateEndedError(str(answer))

    def _end(self) -> str:
        self._process.join(_END_SECONDS)
        return f"its process ended with exit code {self._process.exitcode}"


def _work(path: Path, admit: Admit | None, connection: Connection) -> None:
    """The life of the process: open the package, then score frames until the station closes or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the station ends us
    with suppress(OSError):
        os.nice(_NICENESS)  # before any thread of the inference runtime is there
    from latentline.model import open_model

    try:
        model = open_model(path, "openvino", threads=1, admit=admit)
    except LatentlineError as error:
        connection.send(str(error))
        return
    connection.send(model.identity)
    with suppress(EOFError, OSError):  # the station has gone
        while True:
            shape = connection.recv()
            image = np.frombuffer(connection.recv_bytes(), np.uint8).reshape(shape)
            try:
                answer = CandidateScore(model.inspect(image).score)
            except ImageError as error:
                answer = CandidateScore(0.0, str(error))
            connection.send(answer)

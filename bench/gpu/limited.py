"""Commands with a time limit each, one after the other; one that fails or hangs does not stop the next."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 5.0  # seconds between asking a command to end and killing it
SHOWN = 12  # last lines of a command that are printed
WIDTH = 400  # characters of a line that are printed


@dataclass(frozen=True)
class Task:
    """A command line. limit: seconds; environment: added to this process's."""

    name: str
    command: Sequence[str]
    limit: float
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How a task ended. code: its exit status, None when its time was up."""

    name: str
    code: int | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it ended by itself, with 0."""
        return self.code == 0

    def __str__(self) -> str:
        how = "ok" if self.passed else "out of time" if self.code is None else f"failed with {self.code}"
        return f"{self.name}: {how}, {self.seconds:.0f} s"


def run(task: Task, log: Path) -> Result:
    """Run a task to its end or its limit; all it prints goes to the end of `log`, the last lines to stdout as well."""
    print(f"=== {task.name}", flush=True)
    with log.open("ab") as file:
        file.write(f"=== {task.name}\n".encode())
        file.flush()
        begin = file.tell()
        start = time.monotonic()
        code = _run(task, file.fileno())
        result = Result(task.name, code, time.monotonic() - start)
        file.write(f"--- {result}\n".encode())
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    for line in lines[-SHOWN - 1 :]:
        print(line[:WIDTH], flush=True)
    return result


def _run(task: Task, output: int) -> int | None:
    try:
        process = subprocess.Popen(
            task.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **task.environment},
            start_new_session=True,  # so that what it starts ends with it
        )
    except OSError as error:
        os.write(output, f"{task.command[0]} cannot be run: {error}\n".encode())
        return 127
    try:
        return process.wait(task.limit)
    except subprocess.TimeoutExpired:
        _end(process)
        return None
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

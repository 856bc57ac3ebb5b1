"""Processes that have imported what a training needs before they begin, which takes longer than a tiny training.

They are forked from a server, a fresh process that imports and does nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

# also what a training imports late
_IMPORTED = ["pytest", "trainer.cli", "torch._dynamo", "matplotlib.figure", "matplotlib.backends.backend_agg"]


def prepare() -> None:
    """Let the server import these modules when it starts. It starts with the first process, and ends with this one."""
    multiprocessing.set_forkserver_preload([*_IMPORTED, "tensorboardX", "trainer.loops.phases"])


def start(
    task: Callable[..., object], *arguments: object, errors: Path, environment: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """Start a process that calls `task`, a function of a module, and writes what it has for stderr into `errors`."""
    prepare()
    process = multiprocessing.get_context("forkserver").Process(
        target=_called, args=(task, arguments, errors, dict(environment or {}))
    )
    process.start()
    return process


def run(task: Callable[..., object], *arguments: object, errors: Path) -> int | None:
    """The exit code of such a process."""
    process = start(task, *arguments, errors=errors)
    process.join()
    return process.exitcode


def _called(
    task: Callable[..., object], arguments: tuple[object, ...], errors: Path, environment: Mapping[str, str]
) -> None:
    os.environ.update(environment)
    with errors.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    task(*arguments)

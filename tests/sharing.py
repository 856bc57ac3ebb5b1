"""Ports, other things that a machine has only once, and what one test process makes for all of them."""

from __future__ import annotations

import fcntl
import os
import pickle
import random
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

FOLDER = "LATENTLINE_TESTS_FOLDER"  # environment variable: a folder that all processes of this test run have
_T = TypeVar("_T")
_BELOW_EPHEMERAL = range(15_000, 32_000)  # Linux takes the local ports of connections from 32768 on


def free_port() -> int:
    """A loopback port that is free now, and that no connection takes by chance while its server is down."""
    while True:
        port = random.Random(os.urandom(8)).choice(_BELOW_EPHEMERAL)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Hold `what`, of which the machine has only one, for this process. Waits until other processes release it."""
    with (Path(tempfile.gettempdir()) / f"latentline-tests-{os.getuid()}-{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed
        yield


def made_once(name: str, make: Callable[[], _T]) -> _T:
    """What `make` returns, as one process of this test run made it; the others wait and read its pickle."""
    if FOLDER not in os.environ:
        return make()
    path = Path(os.environ[FOLDER]) / f"{name}.pickle"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            made = pickle.dumps(make())
            (partial := path.with_suffix(".partial")).write_bytes(made)
            partial.replace(path)
    content: _T = pickle.loads(path.read_bytes())
    return content

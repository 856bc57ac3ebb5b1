"""Ports, and other things that a machine has only once, for several test processes."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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

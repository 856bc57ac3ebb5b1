"""What several test processes share without disturbing one another: ports, and what a machine has once."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BELOW_EPHEMERAL = range(15_000, 32_000)  # from 32768 on Linux takes the local ports of connections


def free_port() -> int:
    """A loopback port that nobody has now, and that no connection gets by chance while its server is down."""
    while True:
        port = random.Random(os.urandom(8)).choice(_BELOW_EPHEMERAL)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Have `what`, of which this machine has one, for this process; wait until others have given it back."""
    with (Path(tempfile.gettempdir()) / f"latentline-tests-{os.getuid()}-{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
        yield

"""One process at a time writes into a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from latentline.errors import ConfigError


@contextmanager
def only_writer(file: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder, by a `file` in it that stays. It ends with the process, however that ends.

    what  the other process does, for the sentence
    Raises ConfigError when another process holds it. A file system without locks (some shares) has no such check.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{file.parent}: another process {what} into this folder; wait for its end, or give another folder"
            ) from None
        except OSError:
            pass  # no locks here
        yield
    finally:
        os.close(descriptor)

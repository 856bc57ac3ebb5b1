"""log.txt of a run: the log of the trainer, with times."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class _RunLog(logging.FileHandler):
    """A log that may miss lines: on a full disk the next checkpoint says what is wrong, in one sentence."""

    def handleError(self, record: logging.LogRecord) -> None:
        """No traceback for a line that cannot be written."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file, also where what is left cannot be written."""
        with contextlib.suppress(OSError):
            super().close()


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Within the block append the log of the package `trainer` to the file, from level INFO on."""
    logger = logging.getLogger("trainer")
    handler = _RunLog(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()

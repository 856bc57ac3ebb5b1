"""What a choice prints: a line for each trial. What each training says stands in log.txt of its folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

OWN = "trainer.choose."


@contextmanager
def own_log_only() -> Iterator[None]:
    """Within the block the handlers of the root logger print only what the choice itself says."""
    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(_is_own)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_own)


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.startswith(OWN)

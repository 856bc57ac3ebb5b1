"""The log of a run never stands in the way of its training."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from trainer.run.log import log_to


def test_a_full_disk_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that cannot be written are missing; whoever writes a checkpoint next says why."""
    with log_to(Path("/dev/full")):
        logging.getLogger("trainer.run").info("a line")
    assert capsys.readouterr().err == ""

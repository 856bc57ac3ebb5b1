"""Processes of jobs that need not import PyTorch again."""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace

import pytest

from bench.detection.protocol import jobs
from tests import warm


@pytest.fixture
def warm_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that finish jobs are forked from a fresh one that has imported what they need; those of
    `test_sigterm.py` are as in a bench."""
    warm.prepare()
    context = multiprocessing.get_context("forkserver")
    monkeypatch.setattr(jobs, "multiprocessing", SimpleNamespace(get_context=lambda _: context))

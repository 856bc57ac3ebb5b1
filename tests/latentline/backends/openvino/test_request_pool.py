"""The threads of the search all exist from the start, so that no job is left for a thread that never comes."""

from __future__ import annotations

import threading

import pytest

from latentline.backends.openvino.request_pool import RequestPool
from latentline.errors import BackendError
from tests.threads import refused


def _searching() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("search_"))


def test_all_threads_start_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Afterwards a machine that is short of threads cannot stop a search in the middle."""
    before = _searching()
    workers = RequestPool({}, 3)
    assert len(_searching()) == len(before) + 3
    with refused(monkeypatch, "search_0", "search_1", "search_2") as refusals:
        assert workers.map(lambda _, job: 2 * job, [1, 2, 3], ()) == [2, 4, 6]
    assert not refusals
    workers.close()
    assert _searching() == before


def test_a_thread_that_cannot_be_started_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread and no job stays behind."""
    before = _searching()
    with (
        refused(monkeypatch, "search_1"),
        pytest.raises(BackendError, match=r"3 threads for the search cannot be started \(can't start new thread\)"),
    ):
        RequestPool({}, 3)
    assert _searching() == before

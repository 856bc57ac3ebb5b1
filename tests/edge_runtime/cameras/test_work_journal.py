from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.cameras.work_journal import WorkJournal
from tests.waiting import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.work"


def test_two_deaths_set_a_picture_aside(path: Path) -> None:
    """A picture in work at two deaths is refused from then on, over restarts; one that was in work once is not."""
    first = WorkJournal(path)
    assert first.begin("a") == "begun"
    second = WorkJournal(path)
    assert second.suspects == {"a"} and second.begin("a") == "begun"
    for _ in range(2):
        third = WorkJournal(path)
        assert third.is_set_aside("a") and third.begin("a") == "set_aside" and not third.suspects
        assert third.begin("b") == "begun"
        third.end("b")


def test_picture_that_is_done_is_not_to_blame(path: Path) -> None:
    """What was done before a death, or since the last one, does not count; waiting decoded is no work."""
    for _ in range(3):
        journal = WorkJournal(path)
        assert journal.begin("a") == "begun"
        journal.decoded("a")
        assert journal.begin("b") == "begun"
        journal.end("b")
        journal.begin_inspection("a")
        journal.end("a")
        journal.begin_inspection(None)
        journal.end(None)
    assert WorkJournal(path).suspects == frozenset()


def test_decoding_alone_does_not_clear_a_suspect(path: Path) -> None:
    """A picture that dies in its inspection is decoded before each death."""
    for _ in range(2):
        journal = WorkJournal(path)
        assert journal.begin("a") == "begun"
        journal.decoded("a")
        journal.begin_inspection("a")
    assert WorkJournal(path).is_set_aside("a")


def test_picture_that_ends_the_process_in_good_order_is_set_aside(path: Path) -> None:
    """A picture with which the GPU's context is lost twice, so that the process ends, is to blame."""
    for _ in range(2):
        journal = WorkJournal(path)
        journal.begin_inspection("a")
        journal.give_up("a")
        journal.clear()
    assert WorkJournal(path).is_set_aside("a")


def test_end_in_good_order_is_no_death(path: Path) -> None:
    """Pictures in work at a clean end are not suspect, and what still ends later changes nothing."""
    for _ in range(3):
        journal = WorkJournal(path)
        assert journal.begin("a") == "begun"
        journal.clear()
        assert journal.begin("b") == "begun"
    assert WorkJournal(path).suspects == frozenset()


def test_end_that_was_asked_for_because_of_a_picture_is_a_death(path: Path) -> None:
    """Where an inspection has taken longer than it may, whoever ends the process for it blames the picture."""
    for _ in range(2):
        journal = WorkJournal(path)
        journal.begin_inspection("a")
        assert journal.begin("b") != "set_aside"
        journal.clear(longest=0.0)
    assert WorkJournal(path).is_set_aside("a") and not WorkJournal(path).is_set_aside("b")


def test_suspects_work_alone(path: Path) -> None:
    """After a death with two pictures in work, no other is decoded or inspected beside one of them, so that the next
    death blames one."""
    first = WorkJournal(path)
    assert [first.begin("a"), first.begin("b")] == ["begun", "begun"]
    second = WorkJournal(path)
    assert second.begin("a") == "begun" and second.begin("b") == "later" == second.begin("c")
    inspected = threading.Thread(target=second.begin_inspection, args=("b",), daemon=True)
    inspected.start()
    inspected.join(0.05)
    assert inspected.is_alive()
    second.decoded("a")
    wait_until(lambda: not inspected.is_alive(), "the inspection")
    third = WorkJournal(path)
    assert third.is_set_aside("b") and third.suspects == {"a"}
    assert third.begin("a") == "begun"
    third.end("a")
    assert [third.begin("c"), third.begin("d")] == ["begun", "begun"]


def test_picture_whose_decoder_hangs_is_set_aside(path: Path) -> None:
    """A picture that is begun again while it is in work hangs there; after the second time it is refused."""
    journal = WorkJournal(path)
    assert [journal.begin("a"), journal.begin("a"), journal.begin("a")] == ["begun", "begun", "set_aside"]
    assert journal.begin("b") == "begun"


@settings(max_examples=60)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_files_open(tmp_path_factory: pytest.TempPathFactory, work: bytes, deaths: bytes) -> None:
    """Whatever the files hold, the station starts, and the journal works."""
    path = tmp_path_factory.mktemp("spool") / "spool.work"
    path.write_bytes(work)
    path.with_suffix(".deaths.json").write_bytes(deaths)
    assert WorkJournal(path).begin("new") == "begun"


def test_disk_that_takes_nothing_costs_only_the_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the files cannot be written, pictures are inspected all the same, and the log says what is missing."""
    (tmp_path / "file").write_text("in the way")
    journal = WorkJournal(tmp_path / "file" / "spool.work")
    assert [journal.begin("a"), journal.begin("a"), journal.begin("b")] == ["begun", "begun", "later"]
    journal.end("a")
    journal.clear()
    assert "cannot be noted" in caplog.text

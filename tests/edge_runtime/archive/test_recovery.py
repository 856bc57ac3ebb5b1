"""An archive whose index or files were damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edge_runtime.archive.index import INDEX_NAME
from edge_runtime.archive.label import FrameLabel
from edge_runtime.archive.label_journal import JOURNAL_NAME
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.archive.recovery import RecoveredArchive, recover
from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.archive.writer import ArchiveWriter
from latentline.errors import ArchiveError
from tests.edge_runtime.archive.frames import offer, settled, write_all

SCRATCH = FrameLabel(verdict="defect", kind="scratch")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures; the first has a label, and another one's was taken back."""
    write_all(ArchiveSection(path=tmp_path / "a", min_free_mib=0), (1, 200.0), (2, 201.0), (3, 202.0))
    reader, labels = ArchiveReader(tmp_path / "a"), ArchiveLabels(tmp_path / "a")
    labels.set([reader.of_event("event-1").verdict.id], SCRATCH, "ann")
    labels.set([reader.of_event("event-2").verdict.id], SCRATCH, "ann")
    labels.undo(reader.of_event("event-2").verdict.id, "ann")
    return tmp_path / "a"


def content(folder: Path) -> object:
    """All that a list of the archive says."""
    return ArchiveReader(folder).frames(FrameQuery(), "newest")


def test_a_damaged_index_is_made_again_from_the_files(folder: Path) -> None:
    """After bytes of the index were overwritten, a recovery has all pictures and labels again."""
    before = content(folder)
    index = folder / INDEX_NAME
    for damage in (b"rubbish" * 1000, index.read_bytes()[:5000] + bytes(3000) + index.read_bytes()[8000:]):
        index.write_bytes(damage)
        assert recover(folder).set_aside is not None
        assert content(folder) == before
        assert recover(folder) == RecoveredArchive()


def test_a_lost_index_is_made_again(folder: Path) -> None:
    """Without index there are all pictures and labels after a recovery."""
    before = content(folder)
    (folder / INDEX_NAME).unlink()
    assert recover(folder).added == 3
    assert content(folder) == before


def test_without_the_journal_a_sound_index_keeps_the_labels(folder: Path) -> None:
    """A journal that somebody removed is written again."""
    before = content(folder)
    (folder / JOURNAL_NAME).unlink()
    recover(folder)
    (folder / INDEX_NAME).unlink()
    recover(folder)
    assert content(folder) == before


def test_files_that_are_gone_or_not_whole_leave_the_index(folder: Path) -> None:
    """A removed picture is forgotten, one that was cut short is set aside, leftovers of a crash go."""
    reader = ArchiveReader(folder)
    first, second, third = (reader.of_event(f"event-{number}") for number in (1, 2, 3))
    day = reader.picture_path(first).parent
    reader.picture_path(first).unlink()
    whole = reader.picture_path(second).read_bytes()
    reader.picture_path(second).write_bytes(whole[:100])
    (day / ".x.png.1.tmp").write_bytes(b"half")
    done = recover(folder)
    assert (done.added, done.forgotten, done.broken) == (0, 1, 1)
    assert [found.verdict.id for found in reader.frames(FrameQuery()).frames] == [third.verdict.id]
    assert len(list(day.iterdir())) == 4
    assert (folder / "broken" / f"{second.verdict.id}.png").read_bytes() == whole[:100]
    assert len(ArchiveLabels(folder).history(first.verdict.id)) == 1


def test_a_picture_that_comes_back_has_its_label_again(folder: Path) -> None:
    """A label outlives the absence of its picture's file."""
    reader = ArchiveReader(folder)
    first = reader.of_event("event-1")
    day = reader.picture_path(first).parent
    day.rename(folder / "elsewhere")
    recover(folder)
    assert reader.frames(FrameQuery()).total == 0
    (folder / "elsewhere").rename(day)
    recover(folder)
    assert reader.frame(first.verdict.id).label == SCRATCH


def test_a_foreign_database_stays_as_it_is(tmp_path: Path) -> None:
    """A file of another program is refused, and not changed."""
    with sqlite3.connect(tmp_path / INDEX_NAME) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    before = (tmp_path / INDEX_NAME).read_bytes()
    with pytest.raises(ArchiveError, match="another program"):
        recover(tmp_path)
    assert (tmp_path / INDEX_NAME).read_bytes() == before


@pytest.mark.parametrize("damage", ["removed", "overwritten"])
def test_a_running_station_repairs_its_index(folder: Path, damage: str) -> None:
    """When the index is damaged or removed under a running station, the next picture finds a new one, with the old."""
    writer = ArchiveWriter(ArchiveSection(path=folder, min_free_mib=0), lambda *_: None)
    writer.thread.start()
    offer(writer, 4)
    settled(writer, 1)
    index = folder / INDEX_NAME
    if damage == "removed":
        index.unlink()
    else:
        replaced = folder / "other"
        replaced.write_bytes(b"rubbish" * 1000)
        replaced.rename(index)
    offer(writer, 5)
    writer.close(10)
    assert writer.numbers.written == 2
    reader = ArchiveReader(folder)
    assert reader.frames(FrameQuery()).total == 5
    assert reader.of_event("event-1").label == SCRATCH

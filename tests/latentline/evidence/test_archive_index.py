"""What a station archived and people labelled, as a comparison reads it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from edge_runtime.archive.label import FrameLabel
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.archive.settings import ArchiveSection
from latentline.errors import ArchiveError
from latentline.evidence.archive_index import INDEX_NAME
from latentline.evidence.sources import labelled_pictures
from tests.edge_runtime.archive.archives import archive_of
from tests.edge_runtime.archive.frames import write_all


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Five pictures that the station called abnormal."""
    folder = tmp_path / "archive"
    write_all(ArchiveSection(path=folder, min_free_mib=0), *((number, 200.0) for number in range(5)))
    return folder


def test_an_archive_gives_its_pictures_with_their_labels(archive: Path) -> None:
    """The pictures alone, not the maps beside them, by time; labels are those that count now."""
    reader = ArchiveReader(archive)
    ids = [frame.verdict.id for frame in reader.frames(FrameQuery(), "newest").frames][::-1]
    labels = ArchiveLabels(archive)
    labels.set(ids[:2], FrameLabel(verdict="good"), "ann")
    labels.set([ids[1]], FrameLabel(verdict="defect", kind="oil stain"), "bea")
    labels.set([ids[2]], FrameLabel(verdict="skip"), "ann")
    labels.set([ids[3]], FrameLabel(verdict="good"), "ann")
    labels.undo(ids[3], "ann")
    found = labelled_pictures(archive)
    assert [picture.file.path for picture in found] == [reader.picture_path(reader.frame(name)) for name in ids]
    assert all(picture.file.path.is_file() for picture in found)
    said = [(picture.label, picture.kind) for picture in found]
    assert said == [("good", None), ("defect", "oil stain"), ("skip", None), (None, None), (None, None)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_archive_that_cannot_be_written_can_be_read(archive: Path) -> None:
    """A mounted copy of an archive, without its journal files, is read where nothing may be written."""
    for path in archive.glob(f"{INDEX_NAME}-*"):
        path.unlink()
    archive.chmod(0o500)
    try:
        assert len(labelled_pictures(archive)) == 5
    finally:
        archive.chmod(0o700)


def test_what_is_no_archive_is_a_sentence(tmp_path: Path) -> None:
    """One that is just begun, a damaged index, another program's database, another version, and an empty archive."""
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / INDEX_NAME).touch()
    with pytest.raises(ArchiveError, match="no pictures yet"):
        labelled_pictures(begun)
    path = tmp_path / INDEX_NAME
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 8)
    with pytest.raises(ArchiveError, match="archive repair"):
        labelled_pictures(tmp_path)
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (a)")
    database.close()
    with pytest.raises(ArchiveError, match="another program"):
        labelled_pictures(tmp_path)
    path.unlink()
    archive_of(tmp_path, [])
    with pytest.raises(ArchiveError, match="no pictures yet"):
        labelled_pictures(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ArchiveError, match="version 99"):
        labelled_pictures(tmp_path)

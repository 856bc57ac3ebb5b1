"""Lists of archived pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.archive.label import FrameLabel
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from latentline.errors import ArchiveError
from tests.edge_runtime.archive.archives import archive_of, verdict

FAR, NEAR, ABOVE = verdict(1, 0.5, "top", 1), verdict(2, 2.9, "side", 1), verdict(3, 3.4, "top", 2)
GOOD, SCRATCH = FrameLabel(verdict="good"), FrameLabel(verdict="defect", kind="scratch")


@pytest.fixture
def reader(tmp_path: Path) -> ArchiveReader:
    return ArchiveReader(archive_of(tmp_path / "archive", [FAR, NEAR, ABOVE]))


def ids(reader: ArchiveReader, query: FrameQuery, order: str = "queue") -> list[str]:
    page = reader.frames(query, order)  # type: ignore[arg-type]
    assert page.total == len(page.frames)
    return [frame.verdict.id for frame in page.frames]


def test_the_queue_has_disputed_pictures_first_and_then_the_nearest_to_the_threshold(reader: ArchiveReader) -> None:
    """What is labelled leaves the queue, unless people disagree about it: then it comes first."""
    assert ids(reader, FrameQuery(open=True)) == [NEAR.id, ABOVE.id, FAR.id]
    labels = ArchiveLabels(reader.folder)
    labels.set([FAR.id, NEAR.id], GOOD, "ann")
    assert ids(reader, FrameQuery(open=True)) == [ABOVE.id]
    labels.set([FAR.id], SCRATCH, "bob")
    assert ids(reader, FrameQuery(open=True)) == [FAR.id, ABOVE.id]
    assert ids(reader, FrameQuery(disputed=True)) == [FAR.id]


def test_filters(reader: ArchiveReader) -> None:
    """Each filter leaves out what it should, and they combine."""
    ArchiveLabels(reader.folder).set([ABOVE.id], SCRATCH, "ann")
    assert ids(reader, FrameQuery(camera="top"), "newest") == [ABOVE.id, FAR.id]
    assert ids(reader, FrameQuery(day="2026-11-01"), "newest") == [NEAR.id, FAR.id]
    assert ids(reader, FrameQuery(abnormal=True)) == [ABOVE.id]
    assert ids(reader, FrameQuery(abnormal=False), "score") == [NEAR.id, FAR.id]
    assert ids(reader, FrameQuery(label="none")) == [NEAR.id, FAR.id]
    assert ids(reader, FrameQuery(label="any")) == ids(reader, FrameQuery(kind="scratch")) == [ABOVE.id]
    assert ids(reader, FrameQuery(scores=(0.5, 2.9), camera="side")) == [NEAR.id]


def test_pages(reader: ArchiveReader) -> None:
    """A page has its part of the list and the total of all pages."""
    pages = [reader.frames(FrameQuery(), "newest", limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [page.total for page in pages] == [3, 3, 3]
    assert [[frame.verdict.id for frame in page.frames] for page in pages] == [[ABOVE.id, NEAR.id], [FAR.id], []]


def test_one_picture(reader: ArchiveReader) -> None:
    """A picture is found by its id and by its event, with all that the station said; an unknown one is an error."""
    assert reader.frame(ABOVE.id).verdict == ABOVE
    assert reader.of_event(str(ABOVE.event_id)).verdict == ABOVE
    for ask in (reader.frame, reader.of_event):
        with pytest.raises(ArchiveError, match="not in the archive"):
            ask("20261101T000000001Z-top-ffffffffffff")


def test_files_of_foreign_names_are_refused(reader: ArchiveReader) -> None:
    """A name from outside that is no id leads to no file."""
    assert reader.map_path(FAR.id).parent == reader.folder / "2026-11-01"
    for name in ("../../etc/passwd", "", "20261101T000000001Z-../x-ffffffffffff"):
        with pytest.raises(ArchiveError):
            reader.map_path(name)
        with pytest.raises(ArchiveError):
            reader.nearest_path(name)


def test_facets_and_scores(reader: ArchiveReader) -> None:
    """Counts by camera, day, label and kind, and the scores for a histogram."""
    ArchiveLabels(reader.folder).set([ABOVE.id], SCRATCH, "ann")
    assert reader.facets() == {
        "camera": {"side": 1, "top": 2},
        "day": {"2026-11-01": 2, "2026-11-02": 1},
        "label": {"": 2, "defect": 1},
        "kind": {"scratch": 1},
    }
    assert reader.scores(FrameQuery(label="none")) == [0.5, 2.9]
    assert reader.total_bytes() == 4500

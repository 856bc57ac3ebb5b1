"""The limits of an archive."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_runtime.archive.files import day_folders
from edge_runtime.archive.index import INDEX_NAME, open_index
from edge_runtime.archive.label import FrameLabel
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.archive.retention import ArchiveLimits, days_without_a_picture, prune
from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.archive.writer import ArchiveWriter
from tests.edge_runtime.archive.archives import archive_of, verdict
from tests.edge_runtime.archive.frames import offer, settled

GOOD, SKIP = FrameLabel(verdict="good"), FrameLabel(verdict="skip")


def pruned(folder: Path, limits: ArchiveLimits) -> set[str]:
    """What is left below the limits on the third of the month."""
    with open_index(folder / INDEX_NAME) as database:
        prune(database, folder, limits, datetime(2026, 11, 3, tzinfo=timezone.utc))
    return {found.verdict.id for found in ArchiveReader(folder).frames(FrameQuery()).frames}


def test_the_oldest_without_a_label_go_first(tmp_path: Path) -> None:
    """Each limit removes the oldest pictures, never a labelled one; `skip` is no label that keeps one."""
    first, second, third, fourth = (verdict(number, day=1 + number // 3) for number in range(1, 5))
    folder = archive_of(tmp_path / "a", [first, second, third, fourth])
    ArchiveLabels(folder).set([first.id], GOOD, "ann")
    ArchiveLabels(folder).set([second.id], SKIP, "ann")
    assert pruned(folder, ArchiveLimits(None, None, 4)) == {first.id, second.id, third.id, fourth.id}
    assert pruned(folder, ArchiveLimits(None, None, 3)) == {first.id, third.id, fourth.id}
    assert pruned(folder, ArchiveLimits(2 * first.size, None, None)) == {first.id, fourth.id}
    assert pruned(folder, ArchiveLimits(None, 1.5, None)) == {first.id, fourth.id}
    assert pruned(folder, ArchiveLimits(None, 0.5, None)) == {first.id}
    assert pruned(folder, ArchiveLimits(1, 0.1, 1)) == {first.id}


def test_a_station_keeps_the_limit_and_removes_files(tmp_path: Path) -> None:
    """Above `max_pictures` the oldest pictures go with all their files, and empty days with them."""
    settings = ArchiveSection(path=tmp_path / "a", min_free_mib=0, max_pictures=2)
    writer = ArchiveWriter(settings, lambda *_: None)
    writer.thread.start()
    for number in range(5):
        offer(writer, number, days=float(number))
    writer.close(10)
    assert writer.numbers.pruned == 3
    assert (writer.numbers.written, writer.numbers.dropped) == (5, {})
    assert [day.name for day in day_folders(tmp_path / "a")] == ["2026-12-01", "2026-12-02"]
    assert ArchiveReader(tmp_path / "a").frames(FrameQuery()).total == 2


def test_a_jump_of_the_clock_does_not_empty_the_archive(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pictures that are too old by the clock alone stay, and the log says so once; a person may remove them."""
    settings = ArchiveSection(path=tmp_path / "a", min_free_mib=0, max_days=7)
    for _ in range(2):  # the second start finds them old
        writer = ArchiveWriter(settings, lambda *_: None)
        writer.thread.start()
        offer(writer, 1, days=-100)
        offer(writer, 2, days=-99)
        settled(writer, 2)
        writer.close(10)
        assert writer.numbers.pruned == 0
    assert ArchiveReader(tmp_path / "a").frames(FrameQuery()).total >= 2
    assert sum("the clock has jumped" in line for line in caplog.messages) == 1
    assert pruned(tmp_path / "a", ArchiveLimits(None, 7, None)) == set()


@pytest.mark.parametrize(
    ("days", "now", "gap"),
    [
        ([1, 2, 3], "2026-11-05", None),
        ([1, 2, 3], "2026-12-02", None),
        ([1, 2, 3], "2036-11-03", 3653),
        ([1, 2, 3, 2036], "2036-11-03", 3653),
        ([1, 2, 20, 2036], "2026-11-28", None),
        ([2036], "2036-11-28", None),
    ],
)
def test_a_gap_is_long_where_no_line_rests_so_long(tmp_path: Path, days: list[int], now: str, gap: int | None) -> None:
    """Behind the newest picture above a limit of 2 days; pictures in November 2026, and one in 2036."""
    verdicts = [verdict(number, day=day if day < 31 else 1) for number, day in enumerate(days)]
    made = [
        replace(one, captured_at=one.captured_at.replace("2026", "2036")) if day == 2036 else one
        for one, day in zip(verdicts, days, strict=True)
    ]
    folder = archive_of(tmp_path / "a", made)
    with open_index(folder / INDEX_NAME) as database:
        found = days_without_a_picture(database, 2, datetime.fromisoformat(f"{now}T00:00:00+00:00"))
    assert found == (None if gap is None else pytest.approx(gap, abs=4))


def test_labelled_pictures_alone_above_the_limit_are_reported(tmp_path: Path) -> None:
    """When labels keep all pictures, new ones are dropped with the cause and the fault says what to do."""
    settings = ArchiveSection(path=tmp_path / "a", min_free_mib=0, max_pictures=2)
    faults: dict[str, str | None] = {}
    writer = ArchiveWriter(settings, faults.__setitem__)
    writer.thread.start()
    first, second = offer(writer, 1), offer(writer, 2)
    settled(writer, 2)
    reader, labels = ArchiveReader(tmp_path / "a"), ArchiveLabels(tmp_path / "a")
    ids = [reader.of_event(f"event-{frame.number}").verdict.id for frame in (first, second)]
    labels.set(ids, GOOD, "ann")
    for number in (3, 4):
        offer(writer, number)
        settled(writer, number)
    assert "archive.max_pictures" in str(faults["archive.limit"])
    assert writer.numbers.dropped == {"limit": 1}
    assert {found.verdict.id for found in reader.frames(FrameQuery()).frames} == set(ids)
    labels.undo(ids[0], "ann")
    offer(writer, 5)
    writer.close(10)
    assert faults["archive.limit"] is None
    assert {found.verdict.source for found in reader.frames(FrameQuery()).frames} == {"2.png", "5.png"}

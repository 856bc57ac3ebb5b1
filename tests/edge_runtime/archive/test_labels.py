"""Labels of archived pictures."""

from __future__ import annotations

import base64
import errno
import sqlite3
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.archive.index import INDEX_NAME, open_index, remove_frames
from edge_runtime.archive.label import FrameLabel, parse_label
from edge_runtime.archive.label_journal import JOURNAL_NAME
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from latentline.errors import ArchiveError
from tests.edge_runtime.archive.archives import archive_of, verdict

GOOD, SKIP = FrameLabel(verdict="good"), FrameLabel(verdict="skip")
SCRATCH = FrameLabel(verdict="defect", kind="scratch")
ALARM, QUIET = verdict(1, 4.0), verdict(2, 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return archive_of(tmp_path / "archive", [ALARM, QUIET])


def test_the_last_word_counts_and_both_stay_in_the_history(folder: Path) -> None:
    """Two people label one picture: the last label is the picture's, and the history has both with old and new."""
    labels = ArchiveLabels(folder)
    labels.set([ALARM.id], GOOD, "ann")
    labels.set([ALARM.id], SCRATCH, "bob")
    frame = ArchiveReader(folder).frame(ALARM.id)
    assert (frame.label, frame.disputed, frame.false_alarm) == (SCRATCH, True, False)
    told = [(change.entry.who, change.old, change.new) for change in labels.history(ALARM.id)]
    assert told == [("ann", None, GOOD), ("bob", GOOD, SCRATCH)]


def test_undo_takes_back_ones_own_last_word_only(folder: Path) -> None:
    """After an undo the word before counts again; what another person said stands."""
    labels = ArchiveLabels(folder)
    labels.set([QUIET.id], GOOD, "ann")
    labels.set([QUIET.id], SCRATCH, "bob")
    assert labels.undo(QUIET.id, "cid") is None
    change = labels.undo(QUIET.id, "ann")
    assert change is not None
    assert change.new == SCRATCH
    labels.undo(QUIET.id, "bob")
    frame = ArchiveReader(folder).frame(QUIET.id)
    assert (frame.label, frame.disputed) == (None, False)
    assert len(labels.history(QUIET.id)) == 4
    assert labels.undo(QUIET.id, "bob") is None


def test_false_alarms_and_misses_are_told(folder: Path) -> None:
    """A good picture with an alarm is a false alarm; a defect without one was missed; a list can ask for both."""
    labels, reader = ArchiveLabels(folder), ArchiveReader(folder)
    labels.set([ALARM.id], GOOD, "ann")
    assert reader.frame(ALARM.id).false_alarm
    labels.set([QUIET.id], SCRATCH, "ann")
    assert reader.frame(QUIET.id).missed
    assert reader.frames(FrameQuery(wrong=True)).total == 2
    labels.set([ALARM.id], SCRATCH, "ann")
    assert [frame.verdict.id for frame in reader.frames(FrameQuery(wrong=True)).frames] == [QUIET.id]


def test_a_label_for_a_pruned_picture_is_one_sentence(folder: Path) -> None:
    """A picture that is gone cannot be labelled, and of several pictures then none is; its history stays."""
    labels = ArchiveLabels(folder)
    labels.set([QUIET.id], SKIP, "ann")
    with open_index(folder / INDEX_NAME) as database, database:
        remove_frames(database, [QUIET.id])
    with pytest.raises(ArchiveError, match="is not in the archive"):
        labels.set([ALARM.id, QUIET.id], GOOD, "ann")
    with pytest.raises(ArchiveError, match="is not in the archive"):
        labels.undo(QUIET.id, "ann")
    assert ArchiveReader(folder).frame(ALARM.id).label is None
    assert [change.new for change in labels.history(QUIET.id)] == [SKIP]


def test_labels_come_back_from_the_journal(folder: Path) -> None:
    """What a crash kept from the index, and a line that it cut short, are put right before the next label."""
    labels, reader = ArchiveLabels(folder), ArchiveReader(folder)
    labels.set([ALARM.id], GOOD, "ann")
    with open_index(folder / INDEX_NAME) as database:
        before = database.execute("SELECT value FROM state WHERE name = 'journal'").fetchone()
        labels.set([ALARM.id], SCRATCH, "bob")
        with database:  # as if the process had died before it wrote to the index
            database.execute("DELETE FROM label WHERE seq = 2")
            database.execute("UPDATE state SET value = ? WHERE name = 'journal'", before)
    with (folder / JOURNAL_NAME).open("ab") as journal:
        journal.write(b"0123abcd {torn")
    labels.set([QUIET.id], SKIP, "ann")
    assert reader.frame(ALARM.id).label == SCRATCH
    assert [change.entry.who for change in labels.history(ALARM.id)] == ["ann", "bob"]
    assert b"torn" not in (folder / JOURNAL_NAME).read_bytes()


def test_a_lost_journal_is_written_again_from_the_index(folder: Path) -> None:
    """When somebody removes the journal, the next label writes the old ones into it, too."""
    labels = ArchiveLabels(folder)
    labels.set([ALARM.id], GOOD, "ann")
    (folder / JOURNAL_NAME).unlink()
    labels.set([QUIET.id], SKIP, "ann")
    assert (folder / JOURNAL_NAME).read_text().count("\n") == 2


def test_a_mask_is_drawn_from_all_its_parts() -> None:
    """Boxes, polygons, brush strokes and a PNG mark pixels, and what lies outside the picture marks none."""
    png = np.zeros((48, 64), np.uint8)
    png[40, 60] = 255
    label = parse_label(
        {
            "verdict": "defect",
            "mask": {
                "boxes": [[-5, -5, 8, 8], [500, 500, 10, 10]],
                "polygons": [[[20, 20], [30, 20], [30, 30]]],
                "strokes": [{"radius": 2, "points": [[10, 40], [20, 40]]}],
                "png": base64.b64encode(cv2.imencode(".png", png)[1].tobytes()).decode(),
            },
        }
    )
    assert label.mask is not None
    mask = label.mask.drawn(48, 64)
    assert mask[:3, :3].all()
    assert mask[22, 29]
    assert mask[38:42, 10:20].all()
    assert mask[40, 60]
    assert not mask[10:19].any()


def test_a_mask_of_another_size_is_refused(folder: Path) -> None:
    """A PNG mask that does not fit its picture is refused, and nothing is labelled."""
    png = base64.b64encode(cv2.imencode(".png", np.ones((4, 4), np.uint8))[1].tobytes()).decode()
    label = parse_label({"verdict": "defect", "mask": {"png": png}})
    with pytest.raises(ArchiveError, match="64 x 48 px"):
        ArchiveLabels(folder).set([QUIET.id], label, "ann")
    outside = parse_label({"verdict": "defect", "mask": {"boxes": [[64, 0, 5, 5]]}})
    with pytest.raises(ArchiveError, match="marks nothing"):
        ArchiveLabels(folder).set([QUIET.id], outside, "ann")
    assert ArchiveLabels(folder).history(QUIET.id) == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"verdict": "bad"},
        {"verdict": "good", "kind": "scratch"},
        {"verdict": "defect", "kind": "../up"},
        {"verdict": "defect", "kind": "OK"},
        {"verdict": "defect", "kind": "a_mask"},
        {"verdict": "defect", "kind": "x" * 65},
        {"verdict": "defect", "mask": {"boxes": [[1, 2, -3, 4]]}},
        {"verdict": "defect", "mask": {"boxes": [[1, 2, float("nan"), 4]]}},
        {"verdict": "defect", "mask": {"polygons": [[[1, 2], [3, 4]]]}},
        {"verdict": "defect", "mask": {"strokes": [{"radius": 20_000, "points": [[1, 2]]}]}},
        [],
    ],
)
def test_what_is_no_label_is_refused(content: Any) -> None:
    """Anything but a label gets one sentence."""
    with pytest.raises(ArchiveError) as raised:
        parse_label(content)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("who", ["", " ", "x" * 65, "a\nb"])
def test_a_label_needs_a_person(folder: Path, who: str) -> None:
    """Nobody labels without a name."""
    with pytest.raises(ArchiveError, match="name of a person"):
        ArchiveLabels(folder).set([QUIET.id], GOOD, who)


def test_a_damaged_or_foreign_index_is_one_sentence(tmp_path: Path, folder: Path) -> None:
    """No archive, one that is just begun, another program's database and a damaged index each give one sentence."""
    with pytest.raises(ArchiveError, match="no archive"):
        ArchiveReader(tmp_path).frames(FrameQuery())
    (tmp_path / INDEX_NAME).touch()
    with pytest.raises(ArchiveError, match="still empty"):
        ArchiveReader(tmp_path).frames(FrameQuery())
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with sqlite3.connect(foreign / INDEX_NAME) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    with pytest.raises(ArchiveError, match="another program"):
        ArchiveReader(foreign).frames(FrameQuery())
    (folder / INDEX_NAME).write_bytes(b"rubbish" * 1000)
    with pytest.raises(ArchiveError, match="damaged"):
        ArchiveReader(folder).frames(FrameQuery())


def test_a_label_that_cannot_be_written_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full in the middle of a bulk label, no picture has it, in the index or in the journal."""
    labels = ArchiveLabels(folder)
    labels.set([QUIET.id], SKIP, "ann")
    before = (folder / JOURNAL_NAME).read_bytes()
    with monkeypatch.context() as patch, pytest.raises(ArchiveError, match="No space left"):
        patch.setattr("os.fsync", _no_space)
        labels.set([ALARM.id, QUIET.id], GOOD, "ann")
    assert (folder / JOURNAL_NAME).read_bytes() == before
    assert ArchiveReader(folder).frame(ALARM.id).label is None
    assert len(labels.set([ALARM.id, QUIET.id], GOOD, "ann")) == 2


def _no_space(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")

"""A crash between any two writes of a spool costs no event and is no damage; two damages at once are said by number."""

from __future__ import annotations

import errno
import random
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from edge_runtime.mqtt.spool import file as spool_file
from edge_runtime.mqtt.spool import high_water_mark
from edge_runtime.mqtt.spool.high_water_mark import STEP
from edge_runtime.mqtt.spool.second_copy import SecondCopy
from edge_runtime.mqtt.spool.spool import Spool


def _numbers(spool: Spool) -> list[int]:
    return [event.seq for event in spool.waiting(0, 10**6)]


def _spool(folder: Path, events: int, max_events: int = 10**6) -> Spool:
    spool = Spool(folder / "s.sqlite", max_events)
    spool.append_many([("t", {"n": n, "padding": "x" * 300}) for n in range(events)])
    return spool


def _killed(folder: Path, name: str, **older: bytes) -> Path:
    """The files as a kill leaves them, but for some that were not written yet."""
    target = folder.with_name(name)
    shutil.copytree(folder, target)
    for file, content in older.items():
        (target / f"s.sqlite.{file.replace('_', '-')}").write_bytes(content)
    return target / "s.sqlite"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with room beside it."""
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


def test_crash_between_a_dead_letter_and_its_copies(folder: Path) -> None:
    """The dead letter does not wait again, is counted once, and nothing is called damaged."""
    spool = _spool(folder, 5)
    before = (folder / "s.sqlite.copy-1").read_bytes()
    spool.bury(2, "too large")
    path = _killed(folder, "killed", copy_1=before, dead=b"")
    spool.close()
    for _ in range(2):
        spool = Spool(path, 10)
        assert (_numbers(spool), spool.dead_letters, spool.set_aside) == ([1, 3, 4, 5], 1, None)
        spool.close()


def test_crash_between_dropping_events_and_noting_it(folder: Path) -> None:
    """Events that a limit has dropped do not come back."""
    spool = _spool(folder, 3, max_events=3)
    before = (folder / "s.sqlite.copy-1").read_bytes()
    spool.append("t", {})
    path = _killed(folder, "killed", copy_1=before)
    spool.close()
    spool = Spool(path, 3)
    assert (_numbers(spool), spool.dropped["count"], spool.set_aside) == ([2, 3, 4], 1, None)
    spool.close()


def test_crash_between_an_event_and_its_copy(folder: Path) -> None:
    """The copy is completed, so that the database may be lost later."""
    spool = _spool(folder, 3)
    before = (folder / "s.sqlite.copy-1").read_bytes()
    spool.append("t", {})
    path = _killed(folder, "killed", copy_1=before)
    spool.close()
    spool = Spool(path, 10)
    assert (_numbers(spool), spool.set_aside) == ([1, 2, 3, 4], None)
    spool.close()
    path.unlink()
    spool = Spool(path, 10)
    assert _numbers(spool) == [1, 2, 3, 4] and "no event is lost" in str(spool.set_aside)
    spool.close()


def test_crash_before_a_new_file_is_in_its_place(folder: Path) -> None:
    """A new file that was whole replaces the damaged one at the next start, and an old log is not replayed."""
    spool = _spool(folder, 4)
    path = _killed(folder, "killed")
    spool.close()
    shutil.copy(folder / "s.sqlite", f"{path}.ready")
    path.write_bytes(b"damaged" * 1000)
    spool = Spool(path, 10)
    assert (_numbers(spool), spool.append("t", {}), spool.set_aside) == ([1, 2, 3, 4], 5, None)
    assert not path.with_name("s.sqlite.ready").exists()
    spool.close()


def test_new_file_that_cannot_be_opened_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a repair fails after the old file was closed, the next call opens what is there; nothing is lost."""
    spool = _spool(folder, 4)
    (folder / "s.sqlite").unlink()
    connect = spool_file.connect

    def locked(*_: object, **_options: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(spool_file, "connect", locked)
    with pytest.raises(sqlite3.OperationalError):
        spool.append("t", {})
    monkeypatch.setattr(spool_file, "connect", connect)
    assert spool.append("t", {}) == 5 and _numbers(spool) == [1, 2, 3, 4, 5]
    spool.close()


def test_late_copy_is_completed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk had no room for is in the second copy as soon as there is room."""
    spool = _spool(folder, 3)
    write = SecondCopy._write

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SecondCopy, "_write", full)
    spool.append("t", {})
    spool.remove([1])
    monkeypatch.setattr(SecondCopy, "_write", write)
    assert spool.append("t", {}) == 5
    path = _killed(folder, "killed")
    spool.close()
    path.unlink()
    spool = Spool(path, 10)
    assert _numbers(spool) == [2, 3, 4, 5] and "no event is lost" in str(spool.set_aside)
    spool.close()


@pytest.mark.parametrize("name", ["s.sqlite", "s.sqlite-wal", "s.sqlite.seq"])
def test_removal_amid_a_repair_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A file that goes while the files are being written again is missed at the next look."""
    spool = _spool(folder, 3)
    record = spool._record_files

    def removing() -> None:
        (folder / name).unlink()
        monkeypatch.setattr(spool, "_record_files", record)
        record()

    (folder / "s.sqlite").unlink()
    monkeypatch.setattr(spool, "_record_files", removing)
    spool.check()
    spool.check()
    assert f"{name} was removed" in str(spool.set_aside) and _numbers(spool) == [1, 2, 3]
    spool.close()


def test_new_bound_is_no_change_by_something_else(folder: Path) -> None:
    """The file of the high-water mark is replaced now and then; the watch does not mind."""
    spool = _spool(folder, STEP + 10)
    spool.append("t", {})
    spool.check()
    assert spool.set_aside is None
    spool.close()


def test_power_cut_and_the_loss_of_all_but_the_mark(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After another boot the mark may be old, so numbers continue at the bound; none is used twice."""
    spool = _spool(folder, 5)
    path = _killed(folder, "killed")
    spool.close()
    path.unlink()
    path.with_name("s.sqlite.copy-1").unlink()
    monkeypatch.setattr(high_water_mark, "_boot_id", lambda: "another")
    spool = Spool(path, 10)
    assert spool.append("t", {}) == STEP + 1 and "5 events are lost (seq 1-5)" in str(spool.set_aside)
    spool.close()


def test_database_alone_is_not_trusted(folder: Path) -> None:
    """Without copy and mark nobody knows what was written last: it is said, and numbers continue higher."""
    spool = _spool(folder, 5)
    spool.close()
    (folder / "s.sqlite.copy-1").unlink()
    (folder / "s.sqlite.seq").unlink()
    spool = Spool(folder / "s.sqlite", 10)
    assert "nobody knows" in str(spool.set_aside) and _numbers(spool) == [1, 2, 3, 4, 5]
    assert spool.append("t", {}) == STEP + 6
    spool.close()


@pytest.mark.parametrize("position", [10, 70, 100, 150, 200])
def test_flipped_bit_in_the_mark(folder: Path, position: int) -> None:
    """The mark has its line twice: one flipped bit is said, and costs nothing even if all else is lost."""
    spool = _spool(folder, 5)
    spool.remove([1, 2])
    path = _killed(folder, "killed")
    spool.close()
    path.unlink()
    path.with_name("s.sqlite.copy-1").unlink()
    mark = path.with_name("s.sqlite.seq")
    content = bytearray(mark.read_bytes())
    content[position] ^= 1
    mark.write_bytes(content)
    spool = Spool(path, 10)
    assert "3 events are lost (seq 3-5)" in str(spool.set_aside) and spool.append("t", {}) == 6
    spool.close()


@pytest.mark.parametrize("word", [b"SQLite format", b"LLSP"])
def test_damaged_header_without_a_copy(folder: Path, word: bytes) -> None:
    """With the mark alone beside it the file is still known as ours: the station starts, and events are read."""
    spool = _spool(folder, 5)
    spool.close()
    (folder / "s.sqlite.copy-1").unlink()
    path = folder / "s.sqlite"
    content = path.read_bytes()
    position = content.index(word)
    path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    spool = Spool(path, 10)
    assert spool.append("t", {}) == 6
    assert _numbers(spool)[:-1] == ([1, 2, 3, 4, 5] if word == b"LLSP" else [])
    assert ("5 events are lost (seq 1-5)" in str(spool.set_aside)) == (word != b"LLSP")
    spool.close()


def test_dead_letter_whose_copies_are_both_damaged_is_named(folder: Path) -> None:
    """The second copy knows its number."""
    spool = _spool(folder, 3)
    spool.bury(2, "too large")
    spool._storage.database.execute("DELETE FROM dead")
    spool._storage.database.commit()
    spool.close()
    (folder / "s.sqlite.dead").unlink()
    spool = Spool(folder / "s.sqlite", 10)
    assert "1 dead letter is lost (seq 2)" in str(spool.set_aside) and _numbers(spool) == [1, 3]
    assert spool.damaged == 1
    spool.close()
    spool = Spool(folder / "s.sqlite", 10)
    assert (spool.damaged, spool.set_aside) == (1, None)
    spool.close()


def test_damage_of_the_copy_that_looks_unfinished_is_not_trusted(folder: Path) -> None:
    """A flipped bit in the length of its last record looks like a kill; if the database has gone too, it is said."""
    spool = _spool(folder, 5)
    (folder / "s.sqlite.seq").unlink()
    spool.check()  # writes the copy again; it begins with the number used last
    path = _killed(folder, "killed")
    spool.close()
    path.with_name("s.sqlite-wal").unlink()
    copy = path.with_name("s.sqlite.copy-2")
    content = bytearray(copy.read_bytes())
    content[content.rindex(b"\xf5LLr") + 21] ^= 0x80
    copy.write_bytes(content)
    spool = Spool(path, 10)
    assert _numbers(spool) == [1, 2, 3, 4] and "1 event is lost (seq 5)" in str(spool.set_aside)
    spool.close()


@pytest.mark.parametrize("seed", range(3))
def test_several_damages_are_said(folder: Path, seed: int) -> None:
    """After three flipped bits, or two and a removed file, each event is there as it was written or named as lost."""
    chance = random.Random(seed)
    spool = _spool(folder, 40)
    spool.remove(range(1, 11))
    spool.bury(20, "why")
    bodies = {event.seq: event.body for event in spool.waiting(0, 100)}
    names = sorted(path.name for path in folder.iterdir())
    for number in range(15):
        path = _killed(folder, f"{seed}-{number}")
        if number % 3 == 0:
            path.with_name(chance.choice(names)).unlink()
        for _ in range(2 if number % 3 == 0 else 3):
            file = path.with_name(chance.choice(names))
            content = bytearray(file.read_bytes() if file.exists() else b"")
            if content:
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
                file.write_bytes(content)
        again = Spool(path, 10**6)
        found = {event.seq: event.body for event in again.waiting(0, 100)}
        assert all(found[seq] == body for seq, body in bodies.items() if seq in found)
        said = ", ".join(re.findall(r"lost \(seq ([0-9, -]+)\)", str(again.set_aside)))
        pairs = [part.split("-") for part in said.split(", ") if part]
        named = {seq for pair in pairs for seq in range(int(pair[0]), int(pair[-1]) + 1)}
        dead = {seq for (seq,) in again._storage.database.execute("SELECT seq FROM dead")}
        assert bodies.keys() <= found.keys() | named, again.set_aside
        assert 20 in dead | found.keys() | named, again.set_aside
        assert again.append("t", {}) > 40
        again.close()
    spool.close()

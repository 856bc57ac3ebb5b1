"""Whatever happens to the files of a spool, events are read from what is left, or named; no number is used twice."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_runtime.mqtt.events import encode
from edge_runtime.mqtt.spool.records import ADDED, GONE, pack, parse
from edge_runtime.mqtt.spool.seq_ranges import seq_ranges
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.mqtt.spool.stored import StoredEvent
from latentline.errors import ConfigError
from tests.paths import ROOT

_EVENTS = 30
_REMOVED = 10
_WRITER = f"""
import sys, time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from edge_runtime.mqtt.spool.spool import Spool
spool = Spool(Path(sys.argv[1]), 10**6)
for n in range({_EVENTS}):
    spool.append("t", {{"n": n, "padding": "x" * 300}})
spool.remove(range(1, {_REMOVED + 1}))
print("written", flush=True)
time.sleep(60)
"""


def _event(number: int) -> dict[str, object]:
    return {"n": number, "padding": "x" * 300}


def _contents(spool: Spool) -> dict[int, bytes]:
    return {event.seq: event.body for event in spool.waiting(0, 10**6)}


EXPECTED = {seq: encode(_event(seq - 1)) for seq in range(_REMOVED + 1, _EVENTS + 1)}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a spool whose process was killed while its events were in the write-ahead log."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", _WRITER, str(folder / "s.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
    assert (folder / "s.sqlite-wal").stat().st_size > 10_000
    return folder


@pytest.mark.parametrize("seed", range(4))
def test_no_flipped_bit_loses_an_event(killed: Path, tmp_path: Path, seed: int) -> None:
    """After a kill and one flipped bit in any file, every waiting event is there as it was written, those that were
    confirmed may come back as they were, and the next number is new."""
    chance = random.Random(seed)
    names = sorted(path.name for path in killed.iterdir())
    assert names == ["s.sqlite", "s.sqlite-wal", "s.sqlite.copy-1", "s.sqlite.seq"]
    for number in range(15):
        folder = tmp_path / str(number)
        shutil.copytree(killed, folder)
        file = folder / names[number % len(names)]
        content = bytearray(file.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)
        spool = Spool(folder / "s.sqlite", 10**6)
        found = _contents(spool)
        assert EXPECTED.items() <= found.items(), file.name
        assert all(body == encode(_event(seq - 1)) for seq, body in found.items())
        assert spool.append("t", {}) == _EVENTS + 1
        spool.close()


@pytest.mark.parametrize("word", [b"content BLOB", b"TABLE event", b"body BLOB", b"SQLite format", b"LLSP"])
def test_damaged_schema_loses_nothing(tmp_path: Path, word: bytes) -> None:
    """A letter changed in the header or in the description of a table costs no event."""
    path = tmp_path / "s.sqlite"
    spool = Spool(path, 10**6)
    spool.append_many([("t", _event(n)) for n in range(5)])
    spool.close()
    content = path.read_bytes()
    assert word in content
    path.write_bytes(content.replace(word, word[:-6] + bytes([word[-6] ^ 2]) + word[-5:] if word[5:] else b"LLSQ"))
    spool = Spool(path, 10**6)
    assert "no event is lost" in str(spool.set_aside) and list(_contents(spool)) == [1, 2, 3, 4, 5]
    assert spool.append("t", {}) == 6
    spool.close()


def test_damage_of_both_copies_is_said_by_number(killed: Path, tmp_path: Path) -> None:
    """An event whose row and copy are damaged is lost; it is named and counted, and the others are read."""
    folder = tmp_path / "both"
    shutil.copytree(killed, folder)
    for file in folder.iterdir():
        content = file.read_bytes()
        file.write_bytes(content.replace(b'"n":14', b'"n":99').replace(b'"n":20', b'"n":98'))
    # SQLite's own checksums would discard the log from there on, so the rows are changed in the database itself.
    shutil.copy(killed / "s.sqlite-wal", folder / "s.sqlite-wal")
    database = sqlite3.connect(folder / "s.sqlite")
    database.execute("UPDATE event SET body = CAST('{}' AS BLOB) WHERE seq IN (15, 21)")
    database.commit()
    database.close()
    spool = Spool(folder / "s.sqlite", 10**6)
    assert "2 events are lost (seq 15, 21)" in str(spool.set_aside) and spool.damaged == 2
    assert _contents(spool) == {seq: body for seq, body in EXPECTED.items() if seq not in (15, 21)}
    assert spool.append("t", {}) == _EVENTS + 1
    spool.close()
    spool = Spool(folder / "s.sqlite", 10**6)
    assert spool.set_aside is None and spool.damaged == 2
    spool.close()


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\x5a" * path.stat().st_size)


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"something else")
    other.replace(path)


@pytest.mark.parametrize("harm", [_remove, _cut, _overwrite, _replace])
@pytest.mark.parametrize("name", ["s.sqlite", "s.sqlite-wal", "s.sqlite.copy-1"])
def test_changes_by_something_else_are_noticed_and_repaired(
    tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    """`check` names the file that was changed while the spool is open; no event is lost, also after a kill."""
    spool = Spool(tmp_path / "s.sqlite", 10**6)
    spool.append_many([("t", _event(n)) for n in range(20)])
    spool.check()
    assert spool.set_aside is None
    harm(tmp_path / name)
    spool.check()
    assert f"{name} was" in str(spool.set_aside) and "no event is lost" in str(spool.set_aside)
    assert spool.append("t", _event(20)) == 21
    shutil.copytree(tmp_path, tmp_path / "after a kill")  # the files as they are, without a close
    assert len(_contents(spool)) == 21
    spool.close()
    spool = Spool(tmp_path / "after a kill" / "s.sqlite", 10**6)
    assert list(_contents(spool)) == list(range(1, 22)) and spool.set_aside is None
    spool.close()


def test_removal_in_the_middle_of_a_write_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is removed while an event is being written is missed at the next look."""
    spool = Spool(tmp_path / "s.sqlite", 10**6)
    trim = spool._limits.trim

    def removing(*arguments: Any) -> Any:
        (tmp_path / "s.sqlite").unlink()
        return trim(*arguments)

    monkeypatch.setattr(spool._storage, "_limits", SimpleNamespace(trim=removing))
    assert spool.append("t", {}) == 1
    monkeypatch.undo()
    spool.check()
    assert "s.sqlite was removed" in str(spool.set_aside) and list(_contents(spool)) == [1]
    spool.close()


def test_damaged_row_is_never_read_as_an_event(tmp_path: Path) -> None:
    """A row that no longer holds what was written, found while it is read, is replaced by its copy."""
    spool = Spool(tmp_path / "s.sqlite", 10**6)
    spool.append_many([("t", _event(n)) for n in range(5)])
    spool._storage.database.execute("UPDATE event SET topic = CAST('u' AS BLOB) WHERE seq = 3")
    spool._storage.database.commit()
    spool._record_files()
    assert [(event.topic, event.seq) for event in spool.waiting(0, 10)] == [("t", seq) for seq in range(1, 6)]
    assert "event 3 is not what was written" in str(spool.set_aside)
    spool.close()


def test_missing_row_is_noticed(tmp_path: Path) -> None:
    """When the rows are at their end although more must wait, the missing ones come from the copy."""
    spool = Spool(tmp_path / "s.sqlite", 10**6)
    spool.append_many([("t", {}) for _ in range(5)])
    spool._storage.database.execute("DELETE FROM event WHERE seq = 2")
    spool._storage.database.commit()
    spool._record_files()
    generation = spool.generation
    assert spool.waiting(5, 10) == [] and spool.generation == generation + 1
    assert list(_contents(spool)) == [1, 2, 3, 4, 5]
    spool.close()


def test_all_files_gone_but_the_mark_is_said(tmp_path: Path) -> None:
    """Without database and copy the high-water mark still says which events waited, and numbers continue."""
    spool = Spool(tmp_path / "s.sqlite", 10)
    spool.append_many([("t", {})] * 4)
    spool.remove([1, 2])
    spool.close()
    (tmp_path / "s.sqlite").unlink()
    (tmp_path / "s.sqlite.copy-1").unlink()
    spool = Spool(tmp_path / "s.sqlite", 10)
    assert "2 events are lost (seq 3-4)" in str(spool.set_aside) and spool.append("t", {}) == 5
    spool.close()


def _version_2(path: Path, rows: list[tuple[int, str, bytes, float]]) -> None:
    old = sqlite3.connect(path)
    old.execute("PRAGMA journal_mode = WAL")
    old.execute(
        "CREATE TABLE event (seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL)"
    )
    old.execute("CREATE TABLE counter (name TEXT PRIMARY KEY, value NUMERIC NOT NULL)")
    old.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", rows)
    last = rows[-1][0] + 2
    old.executemany("INSERT INTO counter VALUES (?, ?)", [("last_seq", last), ("dropped_age", 2), ("clock", 9.5)])
    old.execute("PRAGMA user_version = 2")
    old.commit()
    old.close()
    path.with_name(path.name + ".seq").write_text("1000\n")


def test_spool_of_version_2_is_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Events, counters and numbers of an older spool stay; a body that is not JSON becomes a dead letter."""
    caplog.set_level("INFO")
    path = tmp_path / "s.sqlite"
    _version_2(path, [(3, "t", b'{"n":3}', 1.0), (4, "t", b"damaged", 1.0), (5, "t/#", b"{}", 2.0)])
    for _ in range(2):
        spool = Spool(path, 10)
        assert [(event.seq, event.topic) for event in spool.waiting(0, 10)] == [(3, "t"), (5, "t/#")]
        assert (spool.last_seq, spool.dropped["age"], spool.dead_letters, spool.set_aside) == (7, 2, 1, None)
        spool.close()
    assert "version 2 was taken over: 2 events wait" in caplog.text


def test_damaged_spool_of_version_2(tmp_path: Path) -> None:
    """What is readable of a damaged older spool is delivered, and numbers continue at its bound."""
    path = tmp_path / "s.sqlite"
    _version_2(path, [(seq, "t", b'{"padding":"%s"}' % (b"x" * 900), 1.0) for seq in range(1, 101)])
    content = bytearray(path.read_bytes())
    content[10 * 4096 : 11 * 4096] = b"Z" * 4096
    path.write_bytes(content)
    spool = Spool(path, 1000)
    assert {1, 100} <= _contents(spool).keys() and len(spool) > 80
    assert "nobody knows" in str(spool.set_aside) and spool.append("t", {}) == 1001
    spool.close()


@pytest.mark.parametrize("kind", ["text", "database"])
def test_file_of_another_program_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A file at `spool.path` that is not a spool is an error, and is not renamed."""
    path = tmp_path / "s.sqlite"
    if kind == "text":
        path.write_text("a model package, say")
    else:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE customers (name TEXT)")
        other.commit()
        other.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"spool\.path"):
        Spool(path, 10)
    assert path.read_bytes() == before


def test_only_the_owner_may_read_a_spool(tmp_path: Path) -> None:
    """All files have the rights 0600, and the folders that the spool makes 0700."""
    path = tmp_path / "new" / "folder" / "s.sqlite"
    spool = Spool(path, 10)
    spool.append("t", {})
    files = list(path.parent.iterdir())
    assert len(files) == 4
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}
    spool.close()


def test_copy_does_not_grow_for_ever(tmp_path: Path) -> None:
    """Files of the second copy whose events were all confirmed are deleted; one stays."""
    spool = Spool(tmp_path / "s.sqlite", 10**6)
    for _ in range(6):
        seqs = spool.append_many([("t", {"padding": "x" * 10_000})] * 200)
        spool.remove(seqs)
    assert sum(file.stat().st_size for file in tmp_path.glob("*.copy-*")) < 8 << 20
    assert len(list(tmp_path.glob("*.copy-*"))) <= 2
    spool.close()


def test_records_after_a_damaged_place_are_read() -> None:
    """A damaged record costs no other; one that a kill cut short is no damage."""
    records = [pack(ADDED, StoredEvent(seq, b"t", b"{}", 1.0)) for seq in range(1, 4)]
    whole = parse(b"".join(records))
    assert [record.event.seq for record in whole.records] == [1, 2, 3] and not whole.damaged
    damaged = bytearray(b"".join(records))
    damaged[len(records[0]) + 20] ^= 4
    found = parse(bytes(damaged))
    assert [record.event.seq for record in found.records] == [1, 3] and found.damaged
    cut = parse(b"".join(records) + pack(GONE, StoredEvent(1, b"", b"", 0.0))[:-3])
    assert len(cut.records) == 3 and not cut.damaged


def test_ranges_of_numbers() -> None:
    """Neighbours are joined."""
    assert seq_ranges([9, 3, 8, 7]) == "3, 7-9"


@pytest.mark.parametrize("gone", ["s.sqlite", "s.sqlite.copy-1", "s.sqlite.dead"])
def test_dead_letters_and_counters_survive_a_lost_file(tmp_path: Path, gone: str) -> None:
    """Dead letters, with their reasons, and all counters are there again whichever file is removed."""
    path = tmp_path / "s.sqlite"
    spool = Spool(path, 3)
    for n in range(6):
        spool.append("t", _event(n))
    spool.bury(5, "too large")
    spool.close()
    (tmp_path / gone).unlink()
    for _ in range(2):
        spool = Spool(path, 3)
        assert (spool.dead_letters, spool.dropped["count"], list(_contents(spool))) == (1, 3, [4, 6])
        rows = spool._storage.database.execute("SELECT seq, body, CAST(reason AS BLOB) FROM dead").fetchall()
        assert rows == [(5, encode(_event(4)), b"too large")]
        spool.close()
    assert (tmp_path / "s.sqlite.dead").stat().st_size > 300

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.mqtt.spool import Spool
from latentline.errors import ConfigError
from tests.edge_runtime.fakes import ROOT

_WRITER = """
import sys
from pathlib import Path
from edge_runtime.mqtt.spool import Spool
spool = Spool(Path(sys.argv[1]), 10**6)
while True:
    print(spool.append("t", {"pid": 1}), flush=True)
"""


def _seqs(spool: Spool) -> list[int]:
    return [spooled.seq for spooled in spool.waiting(0, 10**6)]


def test_numbers_have_no_gap_over_a_restart(tmp_path: Path) -> None:
    """Numbers go on after the file was emptied, closed and opened again, and no number is given twice."""
    spool = Spool(tmp_path / "s.sqlite", 100)
    assert [spool.append("t", {"n": n}) for n in range(3)] == [1, 2, 3]
    spool.remove([1, 2, 3])
    spool.close()
    spool = Spool(tmp_path / "s.sqlite", 100)
    assert (len(spool), spool.last_seq) == (0, 3)
    assert spool.append("t", {"n": 3}) == 4
    (waiting,) = spool.waiting(0, 10)
    assert (waiting.seq, waiting.topic, waiting.event) == (4, "t", {"n": 3})
    spool.close()


def test_killed_writer_loses_nothing(tmp_path: Path) -> None:
    """Every number that `append` returned before kill -9 is on the disk, and numbering goes on without a gap."""
    path = tmp_path / "s.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    with writer.stdout:
        said = [int(writer.stdout.readline()) for _ in range(40)]
        writer.send_signal(signal.SIGKILL)
        said += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    writer.wait(10)
    spool = Spool(path, 10**6)
    assert spool.set_aside is None
    kept = _seqs(spool)
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) in (len(said), len(said) + 1)  # the last one may have been written but not said
    assert spool.append("t", {}) == len(kept) + 1
    spool.close()


def test_full_spool_drops_the_oldest_and_counts(tmp_path: Path) -> None:
    """Above max_events the oldest events go; how many is known, also after a restart."""
    spool = Spool(tmp_path / "s.sqlite", 3)
    for n in range(5):
        spool.append("t", {"n": n})
    assert (_seqs(spool), spool.dropped) == ([3, 4, 5], 2)
    spool.close()
    spool = Spool(tmp_path / "s.sqlite", 3)
    assert spool.dropped == 2
    spool.close()


def test_refused_event_leaves_no_gap(tmp_path: Path) -> None:
    """An event that is not JSON changes nothing, and neither does a transaction that fails."""
    spool = Spool(tmp_path / "s.sqlite", 10)
    assert spool.append("t", {}) == 1
    with pytest.raises(ValueError):
        spool.append("t", {"score": float("nan")})
    with pytest.raises(sqlite3.Error):
        spool.append(None, {})  # type: ignore[arg-type]  # violates NOT NULL inside the transaction
    assert spool.append("t", {}) == 2
    spool.close()


@pytest.mark.parametrize("damage", ["text", "pages"])
def test_broken_file_is_set_aside(tmp_path: Path, damage: str) -> None:
    """A broken file is kept under another name, a new one is begun, and the sentence names both."""
    path = tmp_path / "s.sqlite"
    if damage == "text":
        path.write_text("this was never a database, but it is long enough to look like a file with content")
    else:
        spool = Spool(path, 10**4)
        for n in range(200):
            spool.append("t", {"n": n, "padding": "x" * 200})
        spool.close()
        content = bytearray(path.read_bytes())
        content[4096 : len(content) - 4096] = b"\x5a" * (len(content) - 8192)
        path.write_bytes(content)
    spool = Spool(path, 10)
    assert spool.append("t", {}) == 1
    (kept,) = tmp_path.glob("s.sqlite.broken-*")
    assert spool.set_aside is not None and kept.name in spool.set_aside
    spool.close()


def test_spool_that_cannot_be_used(tmp_path: Path) -> None:
    """A path that cannot be a file, and a file of another version, are refused under spool.path and left alone."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=r"spool\.path"):
        Spool(tmp_path / "folder", 10)
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 9")
    newer.commit()
    newer.close()
    with pytest.raises(ConfigError, match="version 9"):
        Spool(tmp_path / "newer.sqlite", 10)
    assert not list(tmp_path.glob("*.broken-*"))

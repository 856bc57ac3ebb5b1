from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.mqtt.spool.high_water_mark import STEP
from edge_runtime.mqtt.spool.spool import Spool, SpooledEvent
from latentline.errors import ConfigError
from tests.paths import ROOT

_WRITER = """
import sys
from pathlib import Path
from edge_runtime.mqtt.spool.spool import Spool
spool = Spool(Path(sys.argv[1]), 10**6)
while True:
    print(spool.append("t", {"pid": 1}), flush=True)
"""


def _seqs(spool: Spool) -> list[int]:
    return [spooled.seq for spooled in spool.waiting(0, 10**6)]


def test_numbers_have_no_gap_over_a_restart(tmp_path: Path) -> None:
    """Numbers continue when the file was emptied, closed and reopened; none is used twice."""
    spool = Spool(tmp_path / "s.sqlite", 100)
    assert [spool.append("t", {"n": n}) for n in range(3)] == [1, 2, 3]
    spool.remove([1, 2, 3])
    spool.close()
    spool = Spool(tmp_path / "s.sqlite", 100)
    assert (len(spool), spool.last_seq) == (0, 3)
    assert spool.append("t", {"n": 3}) == 4
    (waiting,) = spool.waiting(0, 10)
    assert waiting == SpooledEvent(4, "t", b'{"n":3}')
    spool.close()


def test_killed_writer_loses_nothing(tmp_path: Path) -> None:
    """Every event that `append` returned before kill -9 is on the disk, and numbers continue without a gap."""
    path = tmp_path / "s.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    with writer.stdout:
        returned = [int(writer.stdout.readline()) for _ in range(40)]
        writer.send_signal(signal.SIGKILL)
        returned += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    writer.wait(10)
    spool = Spool(path, 10**6)
    assert spool.set_aside is None
    kept = _seqs(spool)
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) in (len(returned), len(returned) + 1)  # the last one may have been written but not printed
    assert spool.append("t", {}) == len(kept) + 1
    spool.close()


def _body_bytes(number: int) -> int:
    return len("t") + len(f'{{"n":{number}}}')


def test_full_spool_drops_the_oldest_and_counts(tmp_path: Path) -> None:
    """Above max_events the oldest events are dropped and counted, also over a restart."""
    spool = Spool(tmp_path / "s.sqlite", 3)
    for n in range(5):
        spool.append("t", {"n": n})
    assert (_seqs(spool), spool.dropped) == ([3, 4, 5], {"count": 2, "bytes": 0, "age": 0})
    spool.close()
    spool = Spool(tmp_path / "s.sqlite", 3)
    assert spool.dropped["count"] == 2
    spool.close()


def test_bytes_are_capped(tmp_path: Path) -> None:
    """Above max_bytes the oldest events are dropped and counted; a larger single event stays until the next one."""
    spool = Spool(tmp_path / "s.sqlite", 100, max_bytes=3 * _body_bytes(0))
    for n in range(4):
        spool.append("t", {"n": n})
    assert (_seqs(spool), spool.dropped["bytes"], spool.size_bytes) == ([2, 3, 4], 1, 3 * _body_bytes(0))
    spool.append("t", {"large": "x" * 100})
    assert (_seqs(spool), spool.dropped["bytes"]) == ([5], 4)
    spool.append("t", {"n": 5})
    assert (_seqs(spool), spool.size_bytes) == ([6], _body_bytes(5))
    spool.close()


def test_age_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events go when the spool was open for longer than max_age_seconds since they were written; a jump of the clock
    on the wall, and the time between two runs, make none old."""
    passed = 0.0
    monotonic, wall = time.monotonic, time.time
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed)
    spool = Spool(tmp_path / "s.sqlite", 100, max_age_seconds=3600)
    spool.append("t", {})
    passed += 3000
    spool.append("t", {})
    monkeypatch.setattr(time, "time", lambda: wall() + 10**9)
    spool.expire()
    assert _seqs(spool) == [1, 2]
    spool.close()
    passed += 10**6
    spool = Spool(tmp_path / "s.sqlite", 100, max_age_seconds=3600)
    assert _seqs(spool) == [1, 2]
    passed += 1000
    assert spool.append("t", {}) == 3
    assert (_seqs(spool), spool.dropped) == ([2, 3], {"count": 0, "bytes": 0, "age": 1})
    passed += 10**4
    spool.expire()
    assert _seqs(spool) == [3]  # the newest stays
    spool.close()


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["append", "many", "remove", "reopen"]), st.integers(0, 9)), min_size=1, max_size=30
    ),
    max_events=st.integers(1, 6),
    max_bytes=st.integers(10, 80),
)
@settings(max_examples=40)
def test_any_operations_match_a_list(steps: list[tuple[str, int]], max_events: int, max_bytes: int) -> None:
    """After any operations, the events, sizes, drops and numbers of a spool are those of a list in memory."""
    expected: list[tuple[int, int]] = []  # seq, bytes
    given_, dropped = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "s.sqlite", max_events, max_bytes)
        for what, n in steps:
            if what in ("append", "many"):
                count = 1 if what == "append" else n
                assert spool.append_many([("t", {"n": n})] * count) == list(range(given_ + 1, given_ + count + 1))
                expected += [(given_ + 1 + i, _body_bytes(n)) for i in range(count)]
                given_ += count
                while len(expected) > max_events or (len(expected) > 1 and sum(b for _, b in expected) > max_bytes):
                    expected.pop(0)
                    dropped += 1
            elif what == "remove":
                spool.remove([given_ - n, given_ - n, given_ + 1])
                expected = [(seq, size) for seq, size in expected if seq != given_ - n]
            else:
                spool.close()
                spool = Spool(Path(folder) / "s.sqlite", max_events, max_bytes)
            assert _seqs(spool) == [seq for seq, _ in expected]
            assert (len(spool), spool.size_bytes) == (len(expected), sum(size for _, size in expected))
            assert (spool.last_seq, sum(spool.dropped.values())) == (given_, dropped)
        spool.close()


def test_refused_event_leaves_no_gap(tmp_path: Path) -> None:
    """An event that is not JSON changes nothing, nor does one whose topic is not Unicode, nor those beside it."""
    spool = Spool(tmp_path / "s.sqlite", 10)
    assert spool.append("t", {}) == 1
    with pytest.raises(ValueError):
        spool.append_many([("t", {}), ("t", {"score": float("nan")})])
    with pytest.raises(ValueError):
        spool.append_many([("t", {}), ("\ud800", {})])  # no UTF-8
    assert (len(spool), spool.append_many([])) == (1, [])
    assert spool.append("t", {}) == 2
    assert _seqs(spool) == [1, 2]
    spool.close()


_FULL_DISK = """
import resource, sqlite3, sys
from pathlib import Path
from edge_runtime.mqtt.spool.spool import Spool
spool, event = Spool(Path(sys.argv[1]), 10**6), {"padding": "x" * 3000}
for _ in range(20):
    spool.append("t", event)
largest = max(file.stat().st_size for file in Path(sys.argv[1]).parent.iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 20_000, resource.RLIM_INFINITY))
refusals = 0
while refusals < 3:
    try:
        spool.append_many([("t", event)] * 4)
    except sqlite3.Error:
        refusals += 1
print(len(spool), spool.last_seq)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(spool.append("t", {}))
spool.close()
"""


def test_full_disk_refuses_whole_transactions(tmp_path: Path) -> None:
    """While the file cannot grow, `append` raises and writes nothing; when it can again, numbers continue."""
    path = tmp_path / "s.sqlite"
    run = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(path)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert run.returncode == 0, run.stderr
    count, last, next_ = map(int, run.stdout.split())
    assert count == last >= 20 and count % 4 == 0 and next_ == last + 1
    spool = Spool(path, 10**6)
    assert spool.set_aside is None and _seqs(spool) == list(range(1, next_ + 1))
    spool.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("MOUNTING A TMPFS IS NOT ALLOWED HERE: the test of a full file system did not run")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_file_system(small_disk: Path) -> None:
    """On a full file system `append` raises each time, events stay readable, and with free space it works again."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 500_000)
    spool = Spool(small_disk / "s.sqlite", 10**6)
    with pytest.raises(sqlite3.Error):
        for _ in range(2000):
            spool.append("t", {"padding": "x" * 1000})
    last = spool.last_seq
    assert _seqs(spool) == list(range(1, last + 1))
    for _ in range(3):
        with pytest.raises(sqlite3.Error):
            spool.append("t", {"padding": "x" * 50_000})
    ballast.unlink()
    assert spool.append("t", {}) == last + 1
    spool.remove(range(1, last + 1))
    assert _seqs(spool) == [last + 1]
    spool.close()


def test_second_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stations cannot share one spool: the second one gets an error."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout, **rest: connect(path, timeout=0.0, **rest))
    spool = Spool(tmp_path / "s.sqlite", 10)
    with pytest.raises(ConfigError, match=r"spool\.path: .*another station or program has it open"):
        Spool(tmp_path / "s.sqlite", 10)
    assert spool.append("t", {}) == 1
    spool.close()


def _damage(path: Path) -> None:
    """Overwrite all but the first and last page of the file."""
    size = path.stat().st_size
    assert size > 3 * 4096
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x5a" * (size - 8192))


@pytest.mark.parametrize("damage", ["text", "pages", "gone"])
def test_broken_file_is_set_aside(tmp_path: Path, damage: str) -> None:
    """A corrupt or missing file is reported, and a corrupt one renamed; all events are read from the second copy, and
    numbers continue."""
    path = tmp_path / "s.sqlite"
    spool = Spool(path, 10**4)
    spool.append_many([("t", {"n": n, "padding": "x" * 200}) for n in range(200)])
    spool.close()
    if damage == "text":
        path.write_text("this was never a database, but it is long enough to look like a file with content")
    elif damage == "pages":
        _damage(path)
    else:
        path.unlink()
    spool = Spool(path, 10**4)
    assert spool.append("t", {}) == 201
    assert _seqs(spool) == list(range(1, 202))
    kept = sorted(path.name for path in tmp_path.glob("s.sqlite.broken-*"))
    assert spool.set_aside is not None and "no event is lost" in spool.set_aside and "seq 201" in spool.set_aside
    assert bool(kept) == (damage != "gone") and all(name in spool.set_aside for name in kept[:1])
    assert spool.damaged == 0
    spool.close()


def test_file_that_breaks_in_use_is_set_aside(tmp_path: Path) -> None:
    """A file that is damaged while in use is replaced by the call that notices; no event is lost."""
    path = tmp_path / "s.sqlite"
    spool = Spool(path, 10**4)
    spool.append_many([("t", {"n": n, "padding": "x" * 900}) for n in range(3000)])
    spool.close()
    spool = Spool(path, 10**4)  # the log is empty: what is read comes from the file
    _damage(path)
    assert [event.seq for event in spool.waiting(1000, 10)] == list(range(1001, 1011))
    assert spool.set_aside is not None and list(tmp_path.glob("s.sqlite.broken-*"))
    assert spool.append("t", {}) == 3001 and _seqs(spool) == list(range(1, 3002))
    spool.close()


def test_numbers_after_a_crash_are_never_used_twice(tmp_path: Path) -> None:
    """If the file of a killed writer is lost, numbers continue above all that it used, by less than STEP."""
    path = tmp_path / "s.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    with writer.stdout:
        for _ in range(40):
            last = int(writer.stdout.readline())
        writer.kill()
        last = max([last, *map(int, writer.stdout.read().split("\n")[:-1])])
    writer.wait(10)
    for part in tmp_path.glob("s.sqlite*"):
        if not part.name.endswith(".seq"):
            part.unlink()
    spool = Spool(path, 10)
    assert last < spool.append("t", {}) <= last + STEP + 2
    spool.close()


@given(content=st.binary(max_size=40))
@settings(max_examples=20)
def test_any_content_of_the_high_water_mark_is_survived(content: bytes) -> None:
    """Whatever the high-water mark file contains, the spool opens and continues its own numbers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        spool = Spool(path, 10)
        spool.append("t", {})
        spool.close()
        path.with_name("s.sqlite.seq").write_bytes(content)
        spool = Spool(path, 10)
        assert spool.append("t", {}) == 2
        spool.close()


def test_spool_that_cannot_be_used(tmp_path: Path) -> None:
    """A path that is no file, and a file of another version, raise an error about spool.path and stay as they are."""
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

"""One harm costs no event, whenever it comes: also right after a kill between any two lines of the spool."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from edge_runtime.mqtt.spool import spool as spool_module
from edge_runtime.mqtt.spool.spool import Spool

_CODE = str(Path(spool_module.__file__).parent)
_NAMES = ("s.sqlite", "s.sqlite-wal", "s.sqlite.copy-1", "s.sqlite.seq", "s.sqlite.dead")


@dataclass
class _Killed:
    """The files as a kill leaves them; the events that must be in them, and the number used last."""

    folder: Path
    events: set[int]
    last: int


@dataclass
class _Recorder:
    """Copies the files of the spool in `folder` whenever they have changed between two lines of its code."""

    folder: Path
    target: Path
    events: set[int] = field(default_factory=set)
    last: int = 0
    killed: list[_Killed] = field(default_factory=list)
    _state: object = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, _argument: Any) -> Callable[..., Any] | None:
        ours = frame.f_code.co_filename
        if not (ours.startswith(_CODE) or ours.endswith("atomic.py")):
            return None
        files = sorted((path.name, path.stat()) for path in self.folder.iterdir())
        state = [(name, status.st_ino, status.st_size, status.st_mtime_ns) for name, status in files]
        if state != self._state:
            self._state = state
            target = self.target / str(len(self.killed))
            shutil.copytree(self.folder, target)
            self.killed.append(_Killed(target, set(self.events), self.last))
        return self._trace


def _work(spool: Spool, recorder: _Recorder) -> None:
    """Everything that changes the files. An event is there when `append` has returned, until its removal begins."""

    def append(count: int) -> None:
        seqs = spool.append_many([("t", {"n": n, "padding": "x" * 300}) for n in range(count)])
        recorder.events |= set(seqs)
        recorder.last = seqs[-1]

    append(1)
    append(6)
    recorder.events -= {1, 2}
    spool.remove([1, 2])
    recorder.events -= {4}
    spool.bury(4, "too large")
    recorder.events -= {3}  # nine may wait
    append(6)
    spool.check()


def _opened(path: Path) -> tuple[set[int], int, str]:
    """The events that wait, the next number, and what is said."""
    spool = Spool(path, 9)
    found = {event.seq for event in spool.waiting(0, 100)}
    following, said = spool.append("t", {}), spool.set_aside or ""
    spool.close()
    return found, following, said


def _flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[_Killed]:
    """What kills may leave of a spool that nothing has harmed."""
    folder, target = tmp_path_factory.mktemp("spool"), tmp_path_factory.mktemp("killed")
    recorder = _Recorder(folder, target)
    with recorder.recording():
        spool = Spool(folder / "s.sqlite", 9)
        _work(spool, recorder)
    spool.close()
    return recorder.killed


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("harm", ["removed", "flipped"])
def test_one_harm_at_any_kill_costs_nothing(killed: list[_Killed], tmp_path: Path, name: str, harm: str) -> None:
    """All events that waited are there, none is called lost, and no number is used twice."""
    chance = random.Random(name)
    harmed = 0
    for number, kill in enumerate(killed):
        file = kill.folder / name
        if not kill.last or not file.exists() or not file.stat().st_size:
            continue
        path = tmp_path / str(number)
        shutil.copytree(kill.folder, path)
        if harm == "removed":
            (path / name).unlink()
        else:
            _flip(path / name, chance)
        found, following, said = _opened(path / "s.sqlite")
        assert kill.events <= found and following > kill.last, said
        assert " lost (" not in said
        harmed += 1
    assert harmed


@pytest.mark.parametrize("name", _NAMES)
def test_kill_amid_a_repair_costs_nothing(tmp_path: Path, name: str) -> None:
    """A file is removed under the open spool, and a kill ends the repair between any two lines."""
    folder = tmp_path / "spool"
    recorder = _Recorder(folder, tmp_path / "killed")
    spool = Spool(folder / "s.sqlite", 9)
    _work(spool, recorder)
    (folder / name).unlink()
    with recorder.recording():
        spool.check()
    spool.close()
    assert f"{name} was removed" in str(spool.set_aside) and len(recorder.killed) > 5
    for kill in recorder.killed:
        found, following, said = _opened(kill.folder / "s.sqlite")
        assert kill.events <= found and following > kill.last, said
        assert " lost (" not in said

"""The chaos bench asks only for what a station can know, and waits until a removed file is back."""

import random
from pathlib import Path

import pytest

from bench.station.rig.process import SPOOL
from bench.station.rig.spool_harm import SpoolHarm
from edge_runtime.mqtt.spool.spool import Spool


class _Gone(random.Random):
    """Chooses a file that the station deletes at that moment."""

    def choice(self, files: list[Path]) -> Path:  # type: ignore[override]
        files[0].unlink()
        return files[0]


def test_file_that_the_station_deletes_itself_is_no_harm(tmp_path: Path) -> None:
    """The station need not say that it has removed a file."""
    (tmp_path / "station.log").touch()
    (tmp_path / f"{SPOOL}.copy-1").touch()
    harm = SpoolHarm(tmp_path, _Gone())
    harm.remove(must_say=True)
    assert (harm.must_say, harm.unsaid) == (0, 0)


@pytest.mark.parametrize("ending", [".new", ".new-wal", ".ready", ".broken-20261128T103428433626Z-wal"])
def test_unfinished_and_broken_files_are_not_harmed(tmp_path: Path, ending: str) -> None:
    """A file that is being written, and its log, are no part of the spool yet."""
    (tmp_path / f"{SPOOL}{ending}").touch()
    (tmp_path / "station.log").touch()
    SpoolHarm(tmp_path, random.Random(0)).remove(must_say=True)
    assert (tmp_path / f"{SPOOL}{ending}").exists()


class _Watched(SpoolHarm):
    """The station writes one more line each time that somebody reads its log."""

    lines = ("started", "started", "s.sqlite was removed", "s.sqlite was removed", "the spool is whole again")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, random.Random(0))
        self.read = 0

    def _log(self) -> str:
        self.read += 1
        return "\n".join(self.lines[: self.read])


def test_removal_lasts_until_the_repair(tmp_path: Path) -> None:
    """The station says first what it is about to repair; the next harm waits until it has."""
    (tmp_path / SPOOL).touch()
    harm = _Watched(tmp_path)
    harm.remove(must_say=True)
    assert harm.read >= len(harm.lines) and (harm.must_say, harm.unsaid) == (1, 0)


def test_station_says_when_its_spool_is_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a repair that it found due, at a start and under an open spool; else not."""
    caplog.set_level("INFO")
    spool = Spool(tmp_path / SPOOL, 10)
    spool.append("t", {})
    assert "is whole again" not in caplog.text
    (tmp_path / SPOOL).unlink()
    spool.check()
    said = [record.message for record in caplog.records]
    assert "was removed" in said[0] and said[1] == f"the spool {tmp_path / SPOOL} is whole again"
    spool.close()

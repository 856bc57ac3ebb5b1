from __future__ import annotations

import os
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_runtime.mqtt.spool.foreign import foreign_file
from edge_runtime.mqtt.spool.spool import Spool
from latentline.errors import ConfigError


def _package(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("manifest.json", "{}")


def _database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE people (name TEXT)")
        database.commit()


def _application(path: Path) -> None:
    """A GeoPackage: a database whose header names its program."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA application_id = 0x47504B47")
        database.commit()


def _short(path: Path) -> None:
    path.write_bytes(b"S")


FOREIGN = {
    "package": _package,
    "database": _database,
    "application": _application,
    "one byte": _short,
    "fifo": os.mkfifo,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_a_spool_is_refused_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    """A model package, a database of another program and a FIFO at the spool's path end in one sentence, untouched."""
    path = tmp_path / "model.zip"
    make: Callable[[Path], None] = FOREIGN[name]
    make(path)
    before = path.stat()
    content = None if name == "fifo" else path.read_bytes()
    with pytest.raises(ConfigError, match=r"spool\.path: .*model\.zip is .*; choose another path"):
        Spool(path, 10)
    assert [file.name for file in tmp_path.iterdir()] == ["model.zip"]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert content is None or path.read_bytes() == content


def test_spools_are_not_foreign(tmp_path: Path) -> None:
    """Neither a file that does not exist yet, nor an empty one, a spool in use, one after a kill, or a damaged one."""
    path = tmp_path / "s.sqlite"
    assert foreign_file(path) is None
    path.touch()
    assert foreign_file(path) is None
    spool = Spool(path, 10)
    spool.append("t", {})
    copy = tmp_path / "killed.sqlite"
    copy.write_bytes(path.read_bytes())  # what stands in the file while all the rest is in the write-ahead log
    assert foreign_file(copy) is None
    spool.close()
    assert foreign_file(path) is None
    path.write_bytes(b"\0" * 5000)
    assert foreign_file(path) is None

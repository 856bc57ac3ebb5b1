"""`check` finds what would keep a station from storing events, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_runtime.config import StationConfig
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.tools import spool_check
from edge_runtime.tools.finding import Finding
from edge_runtime.tools.spool_check import check_spool
from latentline.base.places import obstacle
from latentline.base.strict_yaml import parse
from tests.edge_runtime.fakes import station_data
from tests.paths import ROOT


def _check(folder: Path, spool: Path) -> Finding:
    (finding,) = check_spool(parse({**station_data(folder, 1), "spool": {"path": str(spool)}}, StationConfig, "-"))
    return finding


def _tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("state", ["new", "new folder", "closed", "in use"])
def test_a_good_spool_is_found_good_and_left_alone(tmp_path: Path, state: str) -> None:
    """Whether it exists or not, and while a station has it open."""
    path = tmp_path / ("a/b/s.sqlite" if state == "new folder" else "s.sqlite")
    spool = None if state.startswith("new") else Spool(path, 10)
    if spool is not None:
        spool.append("t", {})
    if spool is not None and state == "closed":
        spool.close()
    (tmp_path / "pictures").mkdir()
    before = _tree(tmp_path)
    finding = _check(tmp_path, path)
    assert finding.ok and not finding.warning and "can be written" in finding.message
    assert _tree(tmp_path) == before
    if spool is not None and state == "in use":
        spool.close()


def test_the_model_package_is_no_spool(tmp_path: Path) -> None:
    """A path that names another file is one sentence, and the file stays."""
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("manifest.json", "{}")
    finding = _check(tmp_path, path)
    assert not finding.ok and "model.zip is a file of something else, and no spool" in finding.message
    assert zipfile.is_zipfile(path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A spool below a file cannot be; the sentence names the file."""
    (tmp_path / "file").touch()
    finding = _check(tmp_path, tmp_path / "file" / "a" / "s.sqlite")
    assert not finding.ok and f"{tmp_path / 'file'} is no folder" in finding.message


def test_little_room_is_a_warning_and_none_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below `supervision.disk_mib` a warning names the room; when nothing can be written, `check` fails."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, 100 << 20))
    finding = _check(tmp_path, tmp_path / "s.sqlite")
    assert finding.ok and finding.warning and "only 100 MiB are free" in finding.message

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spool_check, "_write", full)
    finding = _check(tmp_path, tmp_path / "s.sqlite")
    assert not finding.ok and "cannot be used (No space left on device)" in finding.message


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[list[str]]:
    """A command that runs Python as a user who owns nothing."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("NOT ROOT: what another user may not write was not tried")
    for folder in (tmp_path, *tmp_path.parents[:-2]):  # pytest makes them for root only
        folder.chmod(0o755)
    yield ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c"]


@pytest.mark.parametrize("what", ["folder", "file", "seq"])
def test_what_this_user_may_not_write_is_named(tmp_path: Path, nobody: list[str], what: str) -> None:
    """A spool folder, a spool, or a file beside it that somebody else made, e.g. by running the station as root."""
    folder = tmp_path / "spool"
    folder.mkdir()
    path = folder / "s.sqlite"
    if what != "folder":
        Spool(path, 10).close()
        for file in (folder, *folder.iterdir()):
            os.chown(file, 65534, 65534)
        bad = path if what == "file" else path.with_name("s.sqlite.seq")
        bad.touch()
        bad.chmod(0o600)
        os.chown(bad, 0, 0)
    code = f"""
from pathlib import Path
from types import SimpleNamespace as N
from edge_runtime.tools.spool_check import check_spool
config = N(spool=N(path=Path({str(path)!r})), commands=N(verbs=()), supervision=N(disk_mib=0))
print(*[(finding.ok, finding.message) for finding in check_spool(config)])
"""
    done = subprocess.run([*nobody, code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("(False") and "it belongs to user 0, and this is user 65534" in done.stdout, done
    assert f"may not write {'into ' if what == 'folder' else ''}{folder if what == 'folder' else bad}" in done.stdout


def test_a_read_only_file_system_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no question of rights: neither the spool's check nor the place of a run speaks of them."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    state = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=state.f_flag | os.ST_RDONLY))
    finding = _check(tmp_path, tmp_path / "s.sqlite")
    assert not finding.ok and finding.message.endswith(f"may not write into {tmp_path}; its file system is read-only")
    assert obstacle(tmp_path / "run") == f"the file system of {tmp_path} is read-only"

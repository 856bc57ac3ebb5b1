"""A package comes from a server or a share whole or not at all, however often the connection breaks."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.commands.actions import Result
from edge_runtime.commands.fetcher import PackageFetcher, source_of
from edge_runtime.commands.package_source import OpenedFile, PackageFolder
from edge_runtime.commands.request import CommandError
from edge_runtime.commands.settings import FetchSection
from edge_runtime.commands.transfer import Transfer, TransferLimits
from edge_runtime.pacing import Backoff
from latentline.errors import LatentlineError
from tests.edge_runtime.commands.package_server import PackageServer
from tests.waiting import wait_until

CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[PackageServer]:
    server = PackageServer()
    server.files["p.zip"] = CONTENT
    yield server
    server.close()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def _fetch(
    source: str, models: Path, sha256: str = SHA256, seconds: float = 60.0, most: int = 1 << 20, **section: Any
) -> dict[str, Any]:
    limits = TransferLimits(most, 0, seconds)
    settings = FetchSection(source=source, **section)
    return Transfer(source_of(settings), models, "p.zip", sha256, limits, Backoff(0.0, 0.0)).run()


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_package_arrives_under_its_name(server: PackageServer, models: Path) -> None:
    """With nothing left beside it; when it is asked for again, nothing is fetched."""
    assert _fetch(server.address, models) == {"package": "p.zip", "bytes": 300_000, "resumed_at": 0}
    assert _fetch(server.address, models)["resumed_at"] == 300_000
    assert (models / "p.zip").read_bytes() == CONTENT and _names(models) == ["p.zip"]
    assert server.ranges == [None]


def test_a_broken_connection_goes_on_where_it_was(server: PackageServer, models: Path) -> None:
    """Also when the server has faults of its own in between, or does not know ranges."""
    server.faults.extend([100_000, "503", 50_000, "no-range"])
    assert _fetch(server.address, models)["bytes"] == 300_000
    assert (models / "p.zip").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]


def test_the_next_transfer_goes_on_too(server: PackageServer, models: Path) -> None:
    """What arrived before a restart counts; what is left of other packages is removed."""
    (models / ".other.zip.0123.part").write_bytes(b"x")
    server.faults.extend([100_000, *["503"] * 5])
    with pytest.raises(CommandError, match=r"answers 503 .*; 100000 bytes are kept, and the next try goes on"):
        _fetch(server.address, models)
    assert not (models / "p.zip").exists() and len(_names(models)) == 1
    assert _fetch(server.address, models) == {"package": "p.zip", "bytes": 300_000, "resumed_at": 100_000}
    assert server.ranges[-1] == "bytes=100000-"


def test_a_server_that_does_not_say_how_long_a_package_is(server: PackageServer, models: Path) -> None:
    """Its end is that of the connection; the hash decides."""
    server.faults.append("no-length")
    assert _fetch(server.address, models)["bytes"] == 300_000


@pytest.mark.parametrize("left", [CONTENT[:999] + b"x", CONTENT + b"more", b"\0" * 300_000])
def test_what_is_left_of_another_file_is_thrown_away(server: PackageServer, models: Path, left: bytes) -> None:
    """The package is fetched anew, once."""
    (models / f".p.zip.{SHA256[:16]}.part").write_bytes(left)
    _fetch(server.address, models)
    assert (models / "p.zip").read_bytes() == CONTENT


def test_a_wrong_file_is_not_placed(server: PackageServer, models: Path) -> None:
    """The sentence has both hashes, and nothing is kept."""
    with pytest.raises(CommandError, match=rf"has sha256 {SHA256}, not the requested {'0' * 64}"):
        _fetch(server.address, models, "0" * 64)
    assert _names(models) == []


def test_a_package_is_never_overwritten(server: PackageServer, models: Path) -> None:
    """It may be the one that runs."""
    (models / "p.zip").write_bytes(b"running")
    with pytest.raises(CommandError, match=r"p\.zip is there already with another content"):
        _fetch(server.address, models)
    assert (models / "p.zip").read_bytes() == b"running" and not server.ranges


@pytest.mark.parametrize("fault", [None, "no-length"])
def test_a_package_that_is_too_large_is_refused(server: PackageServer, models: Path, fault: str | None) -> None:
    """By what the server announces, and by what it sends."""
    server.faults.extend([fault] if fault else [])
    with pytest.raises(CommandError, match=r"p\.zip is larger than 0 MiB, the limit commands\.fetch\.max_mib"):
        _fetch(server.address, models, most=200_000)
    assert _names(models) == []


def test_a_full_disk_is_refused_before_anything_is_written(server: PackageServer, models: Path) -> None:
    """Room for the spool stays."""
    source = source_of(FetchSection(source=server.address))
    limits = TransferLimits(1 << 20, 1 << 60, 60.0)
    with pytest.raises(CommandError, match="has no room"):
        Transfer(source, models, "p.zip", SHA256, limits, Backoff(0.0, 0.0)).run()


@pytest.mark.parametrize(("status", "sentence"), [("404", "answers 404"), ("301", "redirects to another address")])
def test_no_try_changes_some_answers(server: PackageServer, models: Path, status: str, sentence: str) -> None:
    """They end the command at once. A station follows nobody to another address."""
    server.faults.append(status)
    with pytest.raises(CommandError, match=sentence):
        _fetch(server.address, models)
    assert len(server.ranges) == 1


def test_the_time_is_bounded(server: PackageServer, models: Path) -> None:
    """What has arrived by then is kept."""
    with pytest.raises(CommandError, match=r"took longer than 0 s; \d+ bytes are kept"):
        _fetch(server.address, models, seconds=0.0)
    assert not (models / "p.zip").exists()


def test_nobody_answers(models: Path, server: PackageServer) -> None:
    """A sentence, after a few tries."""
    server.close()
    with pytest.raises(CommandError, match=r"cannot be read .*; 0 bytes are kept"):
        _fetch(server.address, models)


def _certificate(folder: Path) -> Path:
    folder.mkdir()
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(
        [*command.split(), *files, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True
    )
    return folder / "certificate.pem"


def test_tls_is_never_off(tmp_path: Path, models: Path) -> None:
    """The right authority is accepted; the system's and another one refuse the server, and a broken file is named."""
    if shutil.which("openssl") is None:
        pytest.skip("OPENSSL IS MISSING: install the package `openssl`")
    certificate = _certificate(tmp_path / "tls")
    server = PackageServer(certificate)
    server.files["p.zip"] = CONTENT
    try:
        for ca in (None, _certificate(tmp_path / "other")):
            with pytest.raises(CommandError, match="the certificate is not accepted"):
                _fetch(server.address, models, ca=ca)
        with pytest.raises(CommandError, match=r"commands\.fetch\.ca: .* cannot be used"):
            _fetch(server.address, models, ca=tmp_path / "absent.pem")
        assert server.ranges == []
        assert _fetch(server.address, models, ca=certificate)["bytes"] == 300_000
    finally:
        server.close()


def test_a_folder_is_copied_and_goes_on_too(tmp_path: Path, models: Path) -> None:
    """As from a server; the hash counts, not the name."""
    (tmp_path / "p.zip").write_bytes(CONTENT)
    (models / f".p.zip.{SHA256[:16]}.part").write_bytes(CONTENT[:1000])
    assert _fetch(str(tmp_path), models) == {"package": "p.zip", "bytes": 300_000, "resumed_at": 1000}
    assert (models / "p.zip").read_bytes() == CONTENT


def test_links_pipes_and_absent_files_of_a_folder_are_refused(tmp_path: Path, models: Path) -> None:
    """Each in a sentence, and none hangs."""
    with pytest.raises(CommandError, match=r"there is no .*p\.zip"):
        _fetch(str(tmp_path), models)
    os.mkfifo(tmp_path / "p.zip")
    with pytest.raises(CommandError, match=r"p\.zip is not a file"):
        _fetch(str(tmp_path), models)
    (tmp_path / "p.zip").unlink()
    (tmp_path / "p.zip").symlink_to("/etc/passwd")
    with pytest.raises(CommandError, match=r"p\.zip cannot be read"):
        _fetch(str(tmp_path), models)


class Asking:
    """A fetcher with a clock that the test sets, and what it answered."""

    def __init__(self, source: str, models: Path) -> None:
        self.now = 0.0
        self.answers: list[Result | LatentlineError] = []
        self.fetcher = PackageFetcher(FetchSection(source=source, max_seconds=10), models, 0, lambda: self.now)

    def ask(self) -> None:
        self.fetcher.request("p.zip", SHA256, self.answers.append)

    def finish(self) -> Result | LatentlineError:
        wait_until(self.run, "the answer")
        return self.answers.pop()

    def run(self) -> bool:
        self.fetcher.run_pending()
        return bool(self.answers)


def test_one_package_at_a_time(server: PackageServer, models: Path) -> None:
    """The second request is refused until the first is answered."""
    asking = Asking(server.address, models)
    asking.ask()
    with pytest.raises(CommandError, match=r"p\.zip is being fetched; try again later"):
        asking.ask()
    assert isinstance(asking.finish(), dict)
    asking.ask()
    assert isinstance(asking.finish(), dict)


def test_a_source_that_hangs_is_left_behind(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is answered when it is overdue, and what comes late is not placed."""
    late, chunks = threading.Event(), iter([CONTENT, b""])

    @contextmanager
    def hanging(*_: object) -> Iterator[OpenedFile]:
        late.wait()
        yield OpenedFile(0, len(CONTENT), lambda: next(chunks))

    monkeypatch.setattr(PackageFolder, "open", hanging)
    asking = Asking(str(models), models)
    asking.ask()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "package fetcher"]
    assert not asking.run() and not asking.answers
    asking.now = 41.0
    assert "its source does not answer" in str(asking.finish())
    late.set()
    thread.join(10)
    assert not (models / "p.zip").exists()


def test_a_station_that_stops_answers(server: PackageServer, models: Path) -> None:
    """And a station without commands.fetch fetches nothing."""
    asking = Asking(server.address, models)
    asking.ask()
    asking.fetcher.close()
    assert "the station stopped" in str(asking.answers)
    with pytest.raises(CommandError, match=r"it has no commands\.fetch"):
        PackageFetcher(None, models, 0).request("p.zip", SHA256, asking.answers.append)

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.settings.opencv import StreamSettings
from tests.edge_runtime.cameras.scripted import take
from tests.sharing import free_port
from tests.waiting import wait_until

_PYTHON = "/usr/bin/python3"
_NEEDED = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
_PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"


class RtspServer:
    """An RTSP server that tests may kill and restart with another frame width."""

    def __init__(self) -> None:
        self._port = str(free_port())
        self._process: subprocess.Popen[str] | None = None

    def url(self, password: str = "secret") -> str:
        return f"rtsp://me:{password}@127.0.0.1:{self._port}/line"

    def start(self, width: int) -> None:
        command = [_PYTHON, str(Path(__file__).with_name("rtsp_server.py")), self._port, str(width), "me", "secret"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def server() -> Iterator[RtspServer]:
    if subprocess.run([_PYTHON, "-c", _NEEDED], capture_output=True, check=False).returncode:
        pytest.skip(f"no RTSP server: apt install {_PACKAGES}")
    one = RtspServer()
    yield one
    one.kill()


def _settings(url: str, **options: Any) -> StreamSettings:
    return StreamSettings(kind="stream", id="north", source=url, reopen_seconds=0.1, reopen_max_seconds=0.2, **options)


def test_stream_comes_back(
    server: RtspServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is absent, killed, restarted with another size or frozen is a fault, and frames come again."""
    faults: list[tuple[str, str | None]] = []
    feeds = Feeds([_settings(server.url(), stall_seconds=1.0)], lambda *fault: faults.append(fault))
    feeds.start()
    wait_until(lambda: "does not open" in str(faults), "the fault of the absent server")
    server.start(64)
    assert take(feeds).image.shape == (48, 64, 3)
    wait_until(lambda: faults[-1] == ("camera.north", None), "the fault to go")

    server.kill()
    wait_until(lambda: feeds.states()["north"].state == "failing", "the fault of the killed server")
    server.start(96)
    wait_until(lambda: take(feeds).image.shape == (48, 96, 3), "frames of the new server")
    wait_until(lambda: faults[-1] == ("camera.north", None), "the fault to go")

    server.signal(signal.SIGSTOP)
    wait_until(lambda: feeds.states()["north"].stalls, "the fault of the frozen server")
    assert "no usable frame for more than 1 s" in str(faults[-1][1] or feeds.states()["north"].reason)
    server.signal(signal.SIGCONT)
    wait_until(lambda: feeds.states()["north"].state == "ok", "frames of the thawed server")
    feeds.close()
    report = feeds.states()["north"]
    assert report.reopened >= 2 and report.frames > 3
    assert "secret" not in str(faults) + caplog.text + "".join(capfd.readouterr())


def test_wrong_password_is_a_fault(server: RtspServer, capfd: pytest.CaptureFixture[str]) -> None:
    """A server that rejects the password is a fault whose sentence contains neither user nor password."""
    server.start(64)
    faults: list[str] = []
    feeds = Feeds([_settings(server.url("wrong-one"))], lambda _code, sentence: faults.append(str(sentence)))
    feeds.start()
    wait_until(lambda: faults, "the fault")
    feeds.close()
    assert "the user and the password right" in faults[0]
    assert "wrong-one" not in faults[0] + "".join(capfd.readouterr())

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.cameras.aravis import AravisCamera
from edge_runtime.cameras.settings.aravis import AravisSettings
from latentline.errors import CameraError
from tests.paths import ROOT
from tests.sharing import alone
from tests.waiting import wait_until

_FAKE = shutil.which("arv-fake-gv-camera-0.8")
_SYSTEM = Path("/usr/lib/python3/dist-packages/gi")
_NEEDED = "import gi; gi.require_version('Aravis', '0.8'); from gi.repository import Aravis"


class FakeCamera:
    """Aravis's own GigE Vision camera on the loopback; there is one port for it on a machine."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, lost_per_thousand: int = 0) -> None:
        assert _FAKE is not None
        command = [_FAKE, "-i", "127.0.0.1", "-r", str(lost_per_thousand)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Client:
    """`aravis_client.py`, which has the system's PyGObject; only that package of the system's, no other."""

    def __init__(self, path: str, **settings: Any) -> None:
        common = {"kind": "aravis", "id": "top", "source": "127.0.0.1", "reopen_seconds": 0.1, "stall_seconds": 2}
        command = [sys.executable, str(Path(__file__).with_name("aravis_client.py")), json.dumps(common | settings)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            cwd=ROOT,
            text=True,
        )
        self._lines: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def all(self, kind: str) -> list[Any]:
        return [line[kind] for line in list(self._lines) if kind in line]

    def wait_frames(self, count: int) -> None:
        enough = len(self.all("frame")) + count
        wait_until(lambda: len(self.all("frame")) >= enough, f"{count} frames; {self.all('fault')}")

    def end(self) -> dict[str, Any]:
        """Close its input, on which it ends, and get the last report."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._thread.join(20)
        report: dict[str, Any] = self.all("report")[-1]
        return report

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(json.loads(line))


@pytest.fixture
def start_client(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Starts clients with these settings, and leaves none behind."""
    if importlib.util.find_spec("gi") is None:
        (tmp_path / "gi").symlink_to(_SYSTEM)
    found = os.pathsep.join([str(ROOT), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": found}
    tried = subprocess.run([sys.executable, "-c", _NEEDED], env=environment, capture_output=True, check=False)
    if tried.returncode or _FAKE is None:
        pytest.skip("no Aravis for this Python: apt install aravis-tools gir1.2-aravis-0.8 python3-gi")
    clients: list[Client] = []

    def start(**settings: Any) -> Client:
        clients.append(Client(found, **settings))
        return clients[-1]

    yield start
    for client in clients:
        client.kill()


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    with alone("fake-camera"):
        one = FakeCamera()
        yield one
        one.kill()


def test_camera_is_set_up_unplugged_and_comes_back(start_client: Callable[..., Client], camera: FakeCamera) -> None:
    """Settings reach the camera and frames carry the time of the grab; one that goes is named, and opened once back."""
    camera.start()
    began = time.time()
    client = start_client(pixel_format="BayerRG8", width=256, exposure_us=5000, gain=1, fps=50, buffers=16)
    client.wait_frames(3)
    assert client.all("frame")[0] == [512, 256, 3]
    assert all(began <= at <= time.time() for at in client.all("at"))
    camera.kill()
    wait_until(lambda: client.all("fault"), "the camera that is gone to be named")
    camera.start()
    client.wait_frames(3)
    report = client.end()
    assert client.all("fault")[-1] is None
    assert report["reopened"] == 1 and report["state"] == "ended"


def test_mono16_keeps_its_bits(start_client: Callable[..., Client], camera: FakeCamera) -> None:
    """Frames of Mono16 come with all 16 bits, and with the depth that the settings give, for the station to scale."""
    camera.start()
    client = start_client(pixel_format="Mono16", bit_depth=12, width=128)
    client.wait_frames(1)
    assert client.all("frame")[0] == [512, 128, 1] and client.all("depth")[0] == ["uint16", 12]
    client.end()


def test_lost_packets_are_counted(start_client: Callable[..., Client], camera: FakeCamera) -> None:
    """A frame of which packets did not arrive is not inspected, but counted under its cause; the others come."""
    camera.start(lost_per_thousand=2)
    client = start_client(packet_resend=False, every_frame=True)
    client.wait_frames(10)
    wait_until(lambda: client.all("bad"), "a frame that lost packets")
    report = client.end()
    assert report["bad_causes"]["lost packets"] > 0
    assert report["frames"] >= 10


def test_software_trigger_takes_frames(start_client: Callable[..., Client], camera: FakeCamera) -> None:
    """With `trigger: command` the camera itself takes each frame when told to."""
    camera.start()
    client = start_client(trigger="command")
    client.wait_frames(3)
    report = client.end()
    assert report["dropped"].get("no trigger") is None
    assert report["stalls"] == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"pixel_format": "BayerXX8"}, "127.0.0.1 refuses pixel_format \\(BayerXX8\\)"),
        ({"source": "Nobody-1"}, "Nobody-1 does not open .*; is it plugged in"),
    ],
)
def test_what_a_camera_refuses_is_named(
    start_client: Callable[..., Client], camera: FakeCamera, settings: dict[str, Any], sentence: str
) -> None:
    """A setting that the camera refuses, and a camera that is absent, give one sentence with its name."""
    camera.start()
    client = start_client(**settings)
    wait_until(lambda: client.all("fault"), "the fault")
    client.end()
    with pytest.raises(CameraError, match=sentence):
        raise CameraError(client.all("fault")[0])


def test_missing_aravis_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyGObject or Aravis the error says how to get them."""
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(CameraError, match=r"apt install gir1.2-aravis-0.8 python3-gi"):
        AravisCamera(AravisSettings(kind="aravis"))

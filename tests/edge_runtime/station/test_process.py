from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.edge_runtime.fakes import BRIGHT, station_data, write_picture
from tests.mosquitto import Mosquitto
from tests.paths import ROOT
from tests.sharing import free_port
from tests.waiting import wait_until


class _Process:
    """A station in a process of its own, under a fake systemd."""

    def __init__(self, folder: Path, broker_port: int) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listener.bind(str(folder / "notify"))
        self._listener.setblocking(False)
        self._lines: list[str] = []
        self.port = free_port()
        data = station_data(folder, broker_port)
        data["cameras"][0]["watch"] = True
        data["supervision"] = {"http_port": self.port}
        (folder / "station.yaml").write_text(yaml.safe_dump(data))
        command = [sys.executable, "-m", "tests.edge_runtime.fake_station", str(folder / "station.yaml")]
        environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "300000"}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)

    def lines(self) -> list[str]:
        """All lines that systemd has received so far."""
        try:
            while True:
                self._lines += self._listener.recv(4096).decode().split("\n")
        except BlockingIOError:
            return self._lines

    def page(self, path: str) -> tuple[int, str]:
        """Status and body of a page; status 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        self._listener.close()


@pytest.fixture
def station(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[_Process]:
    mosquitto.start()
    station = _Process(tmp_path, mosquitto.port)
    yield station
    station.close()


def test_life_of_a_station(station: _Process, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A real station reports to systemd and over HTTP: ready, faults, counts, and its end."""
    wait_until(lambda: "READY=1" in station.lines(), "READY=1")
    wait_until(lambda: "WATCHDOG=1" in station.lines(), "a sign of life")
    assert station.page("/readyz")[0] == 200
    assert json.loads(station.page("/healthz")[1]) == {"station": "line-1", "state": "online", "faults": {}}

    write_picture(tmp_path / "pictures" / "a.png", BRIGHT)

    def published() -> float:
        families = text_string_to_metric_families(station.page("/metrics")[1])
        return sum(sample.value for family in families for sample in family.samples if "published" in sample.name)

    wait_until(lambda: published() == 1, "the event of the picture")

    mosquitto.stop()
    wait_until(lambda: "STATUS=degraded: broker" in station.lines(), "the fault")
    status, body = station.page("/healthz")
    assert status == 200  # a restart would not help
    assert json.loads(body)["state"] == "degraded"

    station.process.send_signal(signal.SIGTERM)
    wait_until(lambda: station.process.poll() is not None, "the end")
    assert station.process.returncode == 0
    assert "READY=1" not in station.lines()[station.lines().index("STOPPING=1") :]

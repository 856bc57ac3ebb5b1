from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.supervision.process import Process, read_process
from edge_runtime.supervision.settings import SupervisionSection
from edge_runtime.supervision.state import Health
from edge_runtime.supervision.supervisor import Supervisor
from edge_runtime.supervision.systemd import Systemd
from tests.edge_runtime.supervision.snapshots import snapshot
from tests.waiting import wait_until


class _Listener:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.received: list[str] = []

    def lines(self) -> list[str]:
        """The lines received since the last call."""
        lines: list[str] = []
        try:
            while True:
                lines += self.socket.recv(4096).decode().split("\n")
        except BlockingIOError:
            self.received += lines
            return lines


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[_Listener]:
    listener = _Listener(str(tmp_path / "notify"))
    yield listener
    listener.socket.close()


class _Bench:
    """A supervisor whose clock and memory the test sets."""

    def __init__(self, folder: Path, environment: dict[str, str], **settings: object) -> None:
        self.now, self.rss = 100.0, 0
        self.ends: list[str] = []
        self.health = Health(lambda state, faults: None)
        section = SupervisionSection.model_validate({"http_port": None, "disk_mib": 0, "memory_mib": 100, **settings})
        self.supervisor = Supervisor(
            "line-1",
            section,
            self.health,
            snapshot,
            folder / "spool.sqlite",
            self.ends.append,
            systemd=Systemd(environment),
            clock=lambda: self.now,
            process=lambda: Process(self.rss, 1, 1),
        )


def test_systemd_follows_the_life_of_a_station(tmp_path: Path, listener: _Listener) -> None:
    """systemd gets READY and STOPPING, the state as STATUS, and a sign of life at each check unless a stage is late."""
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}
    bench = _Bench(tmp_path, environment)
    supervisor = bench.supervisor
    supervisor.check()
    assert listener.lines() == ["STATUS=starting", "WATCHDOG=1"]
    supervisor.ready()
    assert listener.lines() == ["READY=1", "STATUS=online"]
    supervisor.inspector.busy()
    supervisor.check()
    assert listener.lines() == ["STATUS=online", "WATCHDOG=1"]
    bench.now += 31
    supervisor.check()
    assert listener.lines() == ["STATUS=degraded: watchdog.inspector"]
    assert bench.health.faults == {"watchdog.inspector": "the inspector has worked on one frame for more than 30 s"}
    supervisor.inspector.idle()
    supervisor.check()
    assert listener.lines() == ["STATUS=online", "WATCHDOG=1"]
    supervisor.stopping()
    assert listener.lines() == ["STOPPING=1", "STATUS=stopping"]
    assert bench.health.state == "stopped"


def test_abstract_socket(tmp_path: Path) -> None:
    """An address that begins with @ is an abstract one."""
    name = f"latentline-test-{os.getpid()}"
    listener = _Listener(f"\0{name}")
    Systemd({"NOTIFY_SOCKET": f"@{name}"}).send("READY=1", "STATUS=online")
    assert listener.lines() == ["READY=1", "STATUS=online"]
    listener.socket.close()


def test_reload_carries_its_time(tmp_path: Path, listener: _Listener) -> None:
    """RELOADING=1 carries the monotonic time in microseconds, as systemd asks."""
    before = time.monotonic_ns() // 1000
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")}).reloading()
    reloading, moment = listener.lines()
    assert reloading == "RELOADING=1"
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_watchdog_of_systemd_is_for_this_process(environment: dict[str, str], seconds: float | None) -> None:
    """WATCHDOG_USEC counts when it is a number and meant for this process."""
    assert Systemd(environment).watchdog_seconds == seconds


def test_without_systemd_nothing_is_sent(tmp_path: Path) -> None:
    """Without NOTIFY_SOCKET, or with a missing one, nothing is raised."""
    Systemd({}).send("READY=1")
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}).send("READY=1")


def test_guards_are_faults_and_the_end(tmp_path: Path) -> None:
    """Little disk space is `disk.space`, much memory is `memory`; far too much at three checks ends the station."""
    bench = _Bench(tmp_path, {}, disk_mib=1 << 40)
    bench.rss = 130 << 20
    bench.supervisor.start()
    try:
        wait_until(lambda: set(bench.health.faults) == {"disk.space", "memory"}, "both faults")
    finally:
        bench.supervisor.close()
    for _ in range(2):
        bench.now += 5
        bench.supervisor.check()
    assert len(bench.ends) == 1
    bench.rss = 0
    bench.supervisor.check()
    assert "memory" in bench.health.faults  # the guards run every 5 s
    bench.now += 5
    bench.supervisor.check()
    assert "memory" not in bench.health.faults


def test_its_thread_sends_signs_of_life(tmp_path: Path, listener: _Listener) -> None:
    """Between `start` and `close` its thread sends signs of life, several within the time that systemd allows."""
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "90000"}
    bench = _Bench(tmp_path, environment)
    bench.supervisor.start()
    try:
        wait_until(lambda: (listener.lines(), listener.received.count("WATCHDOG=1") >= 3)[1], "signs of life")
    finally:
        bench.supervisor.close()


def test_process_is_read_from_proc() -> None:
    """Memory, descriptors and threads are those of this process: one more open file is one more descriptor."""
    before = read_process()
    with Path("/proc/self/stat").open():
        after = read_process()
    assert before.rss_bytes > 1 << 20
    assert before.threads >= 1
    assert after.descriptors == before.descriptors + 1

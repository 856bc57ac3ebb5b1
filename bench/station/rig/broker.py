"""mosquitto as a child process that may be killed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from latentline.errors import BrokerError

_START_SECONDS = 10.0
# By default only 20 messages are in flight to a subscriber, and the others wait in the broker's memory alone.
_SAVE_EVERYTHING = ("autosave_on_changes true", "autosave_interval 1", "max_inflight_messages 0")


class KillableBroker:
    """A mosquitto on a free loopback port, whose sessions and messages are on disk.

    save_everything  write to disk at every change, so that nothing but a kill between two writes loses a message
    """

    def __init__(self, folder: Path, *, save_everything: bool = True) -> None:
        found = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        if not Path(found).exists():
            raise BrokerError("mosquitto is not installed; install the package `mosquitto`")
        self._program, self._folder = found, folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "user root", "log_type error"]
        lines += ["persistence true", f"persistence_location {folder}/", "max_queued_messages 1000000"]
        lines += _SAVE_EVERYTHING if save_everything else ()
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start, and wait until the port answers. Raises BrokerError."""
        with (self._folder / "log").open("ab") as log:
            command = [self._program, "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise BrokerError(f"mosquitto does not start; see {self._folder / 'log'}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it with SIGKILL, like a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it with SIGTERM, like `systemctl stop`."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

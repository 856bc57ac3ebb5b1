"""mosquitto as a child process that may be killed, and clients that look at a station from outside."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from latentline.errors import BrokerError

_STARTS_IN = 10.0  # seconds


class Mosquitto:
    """One broker on a free loopback port. It writes its sessions and messages to disk at every change."""

    def __init__(self, folder: Path) -> None:
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
        lines += ["persistence true", f"persistence_location {folder}/", "autosave_on_changes true"]
        # By default 20 messages may be on the way to a subscriber; the others would wait in the broker's memory only.
        lines += ["autosave_interval 1", "max_queued_messages 1000000", "max_inflight_messages 0"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start and wait until the port answers."""
        with (self._folder / "log").open("ab") as log:
            command = [self._program, "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _STARTS_IN
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise BrokerError(f"mosquitto does not start; see {self._folder / 'log'}")
            time.sleep(0.01)

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """As `systemctl stop` would."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """A client with a session of its own, which subscribes on every connection.

    on_message  (body, whether it was kept by the broker from before); on_lost at each end of a connection; both from
                the client's thread
    """

    def __init__(
        self,
        port: int,
        name: str,
        topic: str,
        on_message: Callable[[dict[str, Any], bool], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._changed = threading.Condition()
        self._begun, self._ended = 0, 0
        self._client = client = paho.Client(paho.CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        client.reconnect_delay_set(0.02, 0.02)
        client.max_inflight_messages_set(65535)
        client.on_connect = lambda *_: client.subscribe(topic, qos=1)
        client.on_subscribe = lambda *_: self._count(begun=1)
        client.on_message = lambda _client, _data, message: on_message(json.loads(message.payload), message.retain)

        def lost(*_: object) -> None:
            on_lost()
            self._count(ended=1)

        client.on_disconnect = lost
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval, session.ReceiveMaximum = 24 * 3600, 65535
        client.connect("127.0.0.1", port, keepalive=5, clean_start=False, properties=session)
        client.loop_start()
        self.wait_connected(1)

    @property
    def ended(self) -> int:
        """How many connections ended so far."""
        return self._ended

    def wait_lost(self, ended: int) -> None:
        """Wait until `ended` connections have come to their end. Raises BrokerError."""
        self._wait(lambda: self._ended >= ended, "still has a connection")

    def wait_connected(self, begun: int) -> None:
        """Wait until the subscription stands for the time `begun`. Raises BrokerError."""
        self._wait(lambda: self._begun >= begun, "does not get in")

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _wait(self, condition: Callable[[], bool], trouble: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, 20.0):
                raise BrokerError(f"the subscriber {self._client._client_id!r} {trouble}")

    def _count(self, begun: int = 0, ended: int = 0) -> None:
        with self._changed:
            self._begun += begun
            self._ended += ended
            self._changed.notify_all()

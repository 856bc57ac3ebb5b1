"""mosquitto as a child process, and a subscriber that shares no code with the station."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.sharing import free_port
from tests.waiting import wait_until


class Mosquitto:
    """A broker on a free loopback port, with persistence. It may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._password_file: Path | None = None
        self._rules: Path | None = None
        self._tls: list[str] = []
        self._more: list[str] = []
        self.port = free_port()

    def add_user(self, name: str, password: str) -> None:
        """Add a user, so that only named users are let in. Call before `start`."""
        self._password_file = self._folder / "passwords"
        create = [] if self._password_file.exists() else ["-c"]
        command = ["mosquitto_passwd", "-b", *create, str(self._password_file), name, password]
        subprocess.run(command, check=True, capture_output=True)

    def allow(self, rules: str) -> None:
        """Set access rules in the syntax of mosquitto's acl_file. Call before `start`."""
        self._rules = self._folder / "acl"
        self._rules.write_text(rules)
        self._rules.chmod(0o600)

    def use_tls(self, certificate: Path, key: Path) -> None:
        """Make the port speak only TLS. Call before `start`."""
        self._tls = [f"certfile {certificate}", f"keyfile {key}"]

    def configure(self, line: str) -> None:
        """Add a line to mosquitto.conf. Call before `start`."""
        self._more.append(line)

    def wait_for_log(self, pattern: str) -> None:
        """Wait until a line of the broker's log matches."""
        log = self._folder / "log"
        wait_until(lambda: re.search(pattern, log.read_text()), f"'{pattern}' in the broker's log")

    def start(self) -> None:
        """Start the broker, and wait until its port answers."""
        lines = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {self._folder}/"]
        lines[1:1] = self._tls
        lines += ["allow_anonymous " + ("false" if self._password_file else "true")]
        lines += [f"password_file {self._password_file}"] if self._password_file else []
        lines += [f"acl_file {self._rules}"] if self._rules else []
        lines += ["max_queued_messages 100000", "user root", "log_type all", *self._more]
        config = self._folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
        wait_until(self._answers, "mosquitto to listen")

    def stop(self) -> None:
        """Stop the broker, as `systemctl stop` does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@dataclass(frozen=True)
class Received:
    """One message, as a subscriber received it."""

    topic: str
    body: dict[str, Any]
    retained: bool


class Subscriber:
    """Collects all messages under a topic filter.

    Its session persists, so the broker delivers what it took while the subscriber was not connected.
    """

    def __init__(self, port: int, topic: str = "#", user: tuple[str, str] | None = None) -> None:
        self._messages: list[Received] = []
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._topic = topic
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="subscriber", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        if user:
            self._client.username_pw_set(*user)
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho annotates nothing there
        session.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self._client.loop_start()
        assert self._subscribed.wait(10), "the broker did not accept the subscription"

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Check that every message of a station fits its schema."""
        self._client.disconnect()
        self._client.loop_stop()
        if kind is None:
            from tests.edge_runtime.fakes import validate  # imported here: it brings OpenCV

            for message in self.messages():
                if "schema_version" in message.body and "/response/" not in message.topic:
                    validate(message.topic, message.body)

    def messages(self, ending: str = "") -> list[Received]:
        """The messages so far on topics with this ending."""
        with self._changed:
            return [message for message in self._messages if message.topic.endswith(ending)]

    def wait(self, ending: str, enough: Callable[[list[Received]], bool], seconds: float = 20.0) -> list[Received]:
        """Wait until `enough` accepts the messages on topics with this ending, and return them."""
        with self._changed:
            done = self._changed.wait_for(lambda: enough(self._matching(ending)), seconds)
            found = self._matching(ending)
        assert done, f"{ending}: after {seconds} s only {len(found)}: {[m.body for m in found][-3:]}"
        return found

    def wait_state(self, state: str, seconds: float = 20.0) -> dict[str, Any]:
        """Wait until the newest status of the station has this state, and return that status."""
        found = self.wait("v1/status", lambda all_: bool(all_) and all_[-1].body["state"] == state, seconds)
        return found[-1].body

    def _matching(self, ending: str) -> list[Received]:
        return [message for message in self._messages if message.topic.endswith(ending)]

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        with self._changed:
            self._messages.append(Received(message.topic, json.loads(message.payload), message.retain))
            self._changed.notify_all()

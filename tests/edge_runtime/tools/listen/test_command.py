from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes

from edge_runtime.mqtt.packets import new_properties
from tests.edge_runtime.fakes import BRIGHT, station_data, write_picture
from tests.edge_runtime.tools.listen.samples import TOPIC, event, status
from tests.mosquitto import Mosquitto
from tests.paths import ROOT
from tests.waiting import wait_until

LISTEN = """
import argparse, sys
from edge_runtime.tools.listen.arguments import add_arguments
from edge_runtime.tools.listen.command import run_listen
from latentline.errors import run_command
parser = argparse.ArgumentParser()
add_arguments(parser)
sys.exit(run_command(lambda: run_listen(parser.parse_args())))
"""

Start = Callable[..., "Listening"]


class Listening:
    """A listener in a process of its own, and its output."""

    def __init__(self, folder: Path, arguments: tuple[str, ...]) -> None:
        self._output, self._error = (folder / f"{name}-{uuid.uuid4()}" for name in ("output", "error"))
        with self._output.open("w") as output, self._error.open("w") as error:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LISTEN, *arguments], cwd=ROOT, stdout=output, stderr=error
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait(self, text: str, count: int = 1) -> None:
        wait_until(lambda: self.output.count(text) >= count, f"{count} times '{text}' in {self.output}")

    def error(self) -> str:
        """Wait until it exits with 2; returns what it wrote to stderr."""
        assert self.process.wait(20) == 2
        return self._error.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Start]:
    """Starts listeners; kills those that still run when the test ends."""
    started: list[Listening] = []

    def start(*arguments: str) -> Listening:
        started.append(Listening(tmp_path, arguments))
        return started[-1]

    yield start
    for listening in started:
        listening.process.kill()
        listening.process.wait()


class Sender:
    """A client that publishes in place of a station, and sends commands to one."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, rest: str, message: dict[str, Any] | bytes, retain: bool = False) -> None:
        payload = message if isinstance(message, bytes) else json.dumps(message)
        self._client.publish(TOPIC + rest, payload, qos=1, retain=retain).wait_for_publish(20)

    def ask(self, rest: str, payload: bytes, answer: str, user: tuple[str, str] = ("who", "anna")) -> None:
        extras = new_properties(PacketTypes.PUBLISH)
        extras.UserProperty = user
        extras.ResponseTopic, extras.CorrelationData = TOPIC + answer, b"1"
        self._client.publish(TOPIC + rest, payload, qos=1, properties=extras).wait_for_publish(20)


def test_it_survives_a_broker_restart(mosquitto: Mosquitto, listen: Start) -> None:
    """It waits for an absent broker, prints events, connects and subscribes again after a restart, drops duplicates,
    and ends at SIGTERM with exit code 0 and the counts."""
    listening = listen("--port", str(mosquitto.port), "--json")
    listening.wait("cannot be reached")
    mosquitto.start()
    listening.wait("connected to broker")
    with Sender(mosquitto.port) as sender:
        sender.send("status", status("online"), retain=True)
        sender.send("cam/top/defect", event("a", 1))
        listening.wait('"defect"')
    mosquitto.stop()
    listening.wait("trying again", 2)
    mosquitto.start()
    listening.wait("connected to broker", 2)
    with Sender(mosquitto.port) as sender:
        sender.send("cam/top/defect", event("a", 1, replayed=True))
        sender.send("cam/top/defect", event("b", 2))
    listening.wait('"defect"', 2)
    assert listening.end() == 0
    entries = [json.loads(line) for line in listening.output.splitlines()]
    events = [entry["message"]["event_id"] for entry in entries if entry["kind"] == "defect"]
    assert events == ["a", "b"] and [entry["kind"] for entry in entries].count("status") == 1
    assert entries[-1]["text"] == "events: 2, duplicates dropped: 1"


def test_the_life_of_a_real_station(tmp_path: Path, mosquitto: Mosquitto, listen: Start) -> None:
    """It reads everything that a station publishes; when the station is killed, it prints the broker's `offline` with
    the time of its arrival, not that of the will, and then the next start."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port, will_delay_seconds=0)
    data["cameras"][0]["watch"] = True
    data |= {"pictures": {}, "commands": {"verbs": ["pause"]}, "supervision": {"http_port": None, "health_seconds": 1}}
    path = tmp_path / "station.yaml"
    path.write_text(yaml.safe_dump(data))
    write_picture(tmp_path / "pictures" / "1.png", BRIGHT)
    listening = listen("--json", str(path))
    listening.wait("connected to broker")
    command = [sys.executable, "-m", "tests.edge_runtime.fake_station", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as station:
        for kind in ("status", "birth", "camera", "defect", "health"):
            listening.wait(f'"kind": "{kind}"')
        listening.wait('"text": "online"')
        write_picture(tmp_path / "pictures" / "2.png", BRIGHT)
        listening.wait('"kind": "picture"')
        with Sender(mosquitto.port) as sender:
            sender.ask("cmd/pause", b"{}", "response/test")
            listening.wait('"kind": "response"')
        station.kill()
        listening.wait('"state": "offline"')
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as station:
        listening.wait('"text": "online"', 2)
        station.terminate()
        listening.wait('"state": "stopped"')
    assert listening.end(signal.SIGINT) == 0
    entries = [json.loads(line) for line in listening.output.splitlines()]
    assert not {"unreadable", "gap", "silent"} & {entry["kind"] for entry in entries}
    (offline,) = [e for e in entries if e["kind"] == "status" and e["message"]["state"] == "offline"]
    assert offline["time"] > offline["message"]["at"]


def test_a_session_receives_what_it_missed(mosquitto: Mosquitto, listen: Start) -> None:
    """With --session, events that were sent while it was away arrive at the next start."""
    mosquitto.start()
    arguments = ("--port", str(mosquitto.port), "--session", "office")
    listening = listen(*arguments)
    listening.wait("connected to broker")
    assert listening.end() == 0
    with Sender(mosquitto.port) as sender:
        sender.send("cam/top/defect", event("missed", 1))
    again = listen(*arguments)
    again.wait("defect")
    assert again.end() == 0


def test_a_wrong_password_is_reported(tmp_path: Path, mosquitto: Mosquitto, listen: Start) -> None:
    """A wrong password ends it with exit code 2 and one sentence with broker and user, without the password."""
    mosquitto.add_user("tiler", "right")
    mosquitto.start()
    (tmp_path / "password").write_text("wrong-one")
    listening = listen(
        "--port", str(mosquitto.port), "--username", "tiler", "--password-file", str(tmp_path / "password")
    )
    error = listening.error()
    assert "refuses the connection of user 'tiler'" in error and "Traceback" not in error
    assert "wrong-one" not in error + listening.output


def test_a_message_that_cannot_be_read_is_skipped(mosquitto: Mosquitto, listen: Start) -> None:
    """A message that MQTT allows and the library cannot read is skipped; the events after it arrive."""
    mosquitto.start()
    listening = listen("--port", str(mosquitto.port), "--session", "office")
    listening.wait("connected to broker")
    with Sender(mosquitto.port) as sender:
        sender.ask("cam/top/picture", b"x", "response/a", user=("who", "\ufeffanna"))
        sender.send("cam/top/defect", event("after", 1))
    listening.wait("defect")
    assert listening.end() == 0 and listening.output.count("connected to broker") == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OPENSSL IS MISSING: no TLS test ran")
def test_tls_checks_the_certificate(tmp_path: Path, mosquitto: Mosquitto, listen: Start) -> None:
    """It connects with the broker's authority; with another one, or a missing file, it ends with a sentence."""
    authority, other = _certificate(tmp_path / "a"), _certificate(tmp_path / "b")
    mosquitto.use_tls(authority, tmp_path / "a" / "key.pem")
    mosquitto.start()
    arguments = ("--host", "127.0.0.1", "--port", str(mosquitto.port), "--ca")
    listening = listen(*arguments, str(authority))
    listening.wait("connected to broker")
    assert listening.end() == 0
    for file, sentence in ((other, "certificate is not accepted"), (tmp_path / "nowhere.pem", "nowhere.pem")):
        error = listen(*arguments, str(file)).error()
        assert sentence in error and "Traceback" not in error


def _certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that is its own authority; its key lies beside it."""
    folder.mkdir()
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *files, *names], check=True, capture_output=True)
    return folder / "certificate.pem"


def test_a_server_that_is_no_broker_is_tried_again(listen: Start) -> None:
    """A server that does not speak MQTT is reported and tried again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = listen("--host", "127.0.0.1", "--port", str(server.getsockname()[1]), "--seconds", "30")
        peer, _ = server.accept()
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.close()
        listening.wait("trying again")
        listening.process.terminate()
        assert "Traceback" not in listening.error()


def test_an_absent_broker_is_an_error_at_the_end(listen: Start, mosquitto: Mosquitto) -> None:
    """A listener that never gets a connection ends with exit code 2 and says so."""
    listening = listen("--port", str(mosquitto.port), "--seconds", "0.5")
    assert "no broker accepted the connection at localhost" in listening.error()


def test_a_closed_pipe_ends_it(mosquitto: Mosquitto) -> None:
    """`| head -1` ends the listener without an error."""
    mosquitto.start()
    command = [sys.executable, "-c", LISTEN, "--port", str(mosquitto.port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        with Sender(mosquitto.port) as sender:
            sender.send("cam/top/defect", event("a", 1))
            assert process.wait(20) == 0
        assert process.stderr.read() == ""

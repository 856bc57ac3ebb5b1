from __future__ import annotations

import argparse
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
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes

from edge_runtime.listen.arguments import Order, add_arguments, order_of
from edge_runtime.listen.entry import Entry
from edge_runtime.listen.journal import Journal
from edge_runtime.mqtt.packets import Received, new_properties
from latentline.errors import ConfigError
from tests.edge_runtime.fakes import BRIGHT, ROOT, station_data, write_picture
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until

AT = "2026-11-22T07:15:00.000Z"
TOPIC = "latentline/line-1/v1/"
LISTEN = """
import argparse, sys
from edge_runtime.listen.arguments import add_arguments
from edge_runtime.listen.command import run_listen
from latentline.errors import run_command
parser = argparse.ArgumentParser()
add_arguments(parser)
sys.exit(run_command(lambda: run_listen(parser.parse_args())))
"""

Start = Callable[..., "Listening"]


class Listening:
    """A listener in a process of its own, and what it has printed."""

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
        """What it wrote to stderr, once it has ended by itself with exit code 2."""
        assert self.process.wait(20) == 2
        return self._error.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Start]:
    """Starts listeners; the test's end kills what still runs."""
    started: list[Listening] = []

    def begin(*arguments: str) -> Listening:
        started.append(Listening(tmp_path, arguments))
        return started[-1]

    yield begin
    for listening in started:
        listening.process.kill()
        listening.process.wait()


class Sender:
    """A client that publishes what a station would, and asks it for something."""

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


def _status(state: str, **reasons: str) -> dict[str, Any]:
    return {"at": AT, "state": state, "reasons": [{"code": c, "message": m} for c, m in reasons.items()]}


def _event(event_id: str, seq: int, **changes: Any) -> dict[str, Any]:
    box = {"bbox": [12, 3, 40, 22], "peak": 9.06}
    event = {"event_id": event_id, "seq": seq, "captured_at": AT, "replayed": False, "score": 4.5, "threshold": 3.2}
    return {**event, "defects": [box], **changes}


BIRTH = {
    "at": AT,
    "software": {"name": "latentline", "version": "0.1.0"},
    "model": {"name": "tiles", "sha256": "ab" * 32},
    "backend": "cpu",
    "threshold": 3.2,
    "cameras": [{"id": "top", "kind": "device"}, {"id": "side", "kind": "stream"}],
}
HEALTH = {
    "at": AT,
    "state": "degraded",
    "faults": ["disk"],
    "uptime_seconds": 4000,
    "frames": {"inspected": 70, "abnormal": 3},
    "events": {"waiting": 2},
    "process": {"rss_bytes": 250 * 2**20},
}


def _heard(rest: str, message: dict[str, Any] | bytes, **about: Any) -> Received:
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Received(TOPIC + rest, payload, **about)


def _said(journal: Journal, rest: str, message: dict[str, Any] | bytes, **about: Any) -> list[tuple[str, str]]:
    return [(entry.kind, entry.text) for entry in journal.hear(_heard(rest, message, **about))]


def test_each_message_is_said_in_words() -> None:
    """Status with reasons, birth, camera, defect, picture, response and health each become one line."""
    journal = Journal("latentline")
    (entry,) = journal.hear(_heard("status", _status("degraded", camera="top is stalled", disk="full")))
    assert entry.line() == f"{AT}  line-1        status      degraded (camera: top is stalled; disk: full)"
    birth = (
        "latentline 0.1.0, model tiles abababababab, backend cpu, threshold 3.2, cameras top (device), side (stream)"
    )
    assert _said(journal, "birth", BIRTH) == [("birth", birth)]
    camera = {"at": AT, "state": "stalled", "reason": "no frame for 5 s"}
    assert _said(journal, "cam/top/status", camera) == [("camera", "top: stalled (no frame for 5 s)")]
    assert _said(journal, "cam/top/defect", _event("a", 7, replayed=True)) == [
        ("defect", "top: score 4.50 > 3.20  40 x 22 px at x 12 y 3, peak 9.1  seq 7, replayed")
    ]
    many = _event("b", 8, defects=[{"bbox": [1, 2, 3, 4], "peak": 1}] * 5)
    assert _said(journal, "cam/top/defect", many)[0][1].endswith("; 2 more  seq 8")
    picture = _said(journal, "cam/top/picture", b"\xff\xd8jpeg", user_properties=(("event_id", "a"),))
    assert picture == [("picture", "top: 6 bytes of event a")]
    done = {"at": AT, "verb": "threshold", "ok": True, "result": {"old": 3.2, "new": 4}}
    assert _said(journal, "response/me", done) == [("response", 'threshold done: {"old": 3.2, "new": 4}')]
    refused = {"at": AT, "verb": "model", "ok": False, "error": "no such package"}
    assert _said(journal, "response/me", refused) == [("response", "model refused: no such package")]
    assert _said(journal, "health", HEALTH) == [
        ("health", "degraded (disk), up 1 h 6 min, 70 frames, 3 abnormal, 2 events waiting, 250 MiB")
    ]


def test_states_are_said_when_they_change() -> None:
    """A retained state that comes again with each reconnect is not said again; another one is."""
    journal = Journal("latentline")
    for rest, message in (("status", _status("online")), ("birth", BIRTH)):
        assert len(_said(journal, rest, message)) == 1
        assert _said(journal, rest, message, retained=True) == []
    assert _said(journal, "status", _status("degraded", disk="full")) == [("status", "degraded (disk: full)")]
    assert _said(journal, "status", _status("online")) == [("status", "online")]


def test_duplicates_are_dropped_and_counted() -> None:
    """An event is said once; how often it came again is said before the next one and at the end."""
    journal = Journal("latentline")
    assert [kind for kind, _ in _said(journal, "cam/top/defect", _event("a", 1))] == ["defect"]
    assert _said(journal, "cam/top/defect", _event("a", 1, replayed=True)) == []
    assert _said(journal, "cam/top/defect", _event("a", 1, replayed=True)) == []
    said = _said(journal, "cam/top/defect", _event("b", 2))
    assert said[0] == ("duplicates", "2 events came again and were dropped") and said[1][0] == "defect"
    assert _said(journal, "cam/top/defect", _event("b", 2)) == []
    assert [entry.text for entry in journal.rest()] == ["1 event came again and were dropped"]
    assert (journal.events, journal.duplicates) == (2, 3)


def test_missing_events_are_noticed() -> None:
    """A gap in seq is said once, per station; an older event that comes late is no gap."""
    journal = Journal("latentline")
    kinds = [[kind for kind, _ in _said(journal, "cam/top/defect", _event(str(seq), seq))] for seq in (4, 5, 8, 7, 9)]
    assert kinds == [["defect"], ["defect"], ["gap", "defect"], ["defect"], ["defect"]]
    other = Received("latentline/line-2/v1/cam/top/defect", json.dumps(_event("x", 1)).encode())
    assert [entry.kind for entry in journal.hear(other)] == ["defect"]


def test_health_is_said_now_and_then() -> None:
    """Of many health messages one a minute is said."""
    moment = 100.0
    journal = Journal("latentline", lambda: moment)
    assert len(_said(journal, "health", HEALTH)) == 1
    moment += 59
    assert _said(journal, "health", HEALTH) == []
    moment += 2
    assert len(_said(journal, "health", HEALTH)) == 1


def test_silence_is_noticed() -> None:
    """A station whose health message has expired with no other is called silent once; not one that said goodbye, and
    not for the time in which the listener itself had no connection."""
    moment = 0.0
    journal = Journal("latentline", lambda: moment)
    _said(journal, "health", HEALTH, expiry=90)
    moment = 89
    assert list(journal.silent()) == []
    journal.begin()
    moment = 170
    assert list(journal.silent()) == []
    moment = 180
    assert [entry.text for entry in journal.silent()] == ["no sign of life for 90 s, and no status says why"]
    assert list(journal.silent()) == []
    _said(journal, "health", HEALTH, expiry=90)
    _said(journal, "status", _status("stopped"))
    moment = 1000
    assert list(journal.silent()) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_good = [_status("online"), BIRTH, _event("a", 1), HEALTH, {"at": AT, "ok": True, "verb": "x"}]


@st.composite
def _payloads(draw: st.DrawFn) -> bytes:
    """Bytes, JSON, and messages of a station with a field or two of another kind."""
    if draw(st.booleans()):
        return draw(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
    message = dict(draw(st.sampled_from(_good)))
    message.update(draw(st.dictionaries(st.sampled_from(sorted(message)), json_values, max_size=2)))
    return json.dumps(message).encode()


@given(
    st.sampled_from(["status", "birth", "health", "cam/a/status", "cam/a/defect", "cam/a/picture", "response/x"])
    | st.text(),
    _payloads(),
)
def test_any_message_is_one_clean_line(rest: str, payload: bytes) -> None:
    """Whatever arrives, each entry is one printable line and one JSON object; nothing is raised."""
    for entry in Journal("latentline").hear(Received(TOPIC + rest, payload)):
        assert entry.line().isprintable()
        assert json.loads(entry.json(), parse_constant=pytest.fail)["kind"] == entry.kind


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 5000,
        b'{"at":' * 900 + b"1" + b"}" * 900,
        b'{"at":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"at":"\\ud800","state":"\x9b","reasons":[]}',
    ],
)
def test_hostile_json_is_unreadable(payload: bytes) -> None:
    """Deep nesting, numbers without end and broken text are said in one clean line."""
    (entry,) = Journal("latentline").hear(_heard("status", payload))
    assert entry.kind == "unreadable" and entry.line().isprintable() and entry.json().isascii()


def test_no_secret_and_no_escape_is_printed() -> None:
    """Credentials of URLs are masked, and control characters of a message do not reach the terminal."""
    entry = Entry("status", "rtsp://user:secret@camera/ \x1b[2J\n\u202e", "line-1", message={"source": "rtsp://u:p@c"})
    for text in (entry.line(), entry.json()):
        assert "secret" not in text and "u:p" not in text and "\x1b" not in text and "\n" not in text
    assert "//***@camera/ \\x1b[2J\\n\\u202e" in entry.line()


def _order(*arguments: str) -> Order:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return order_of(parser.parse_args(arguments))


def test_options_and_the_yaml_agree(tmp_path: Path) -> None:
    """A station's YAML says whom to ask; options win; another user does not get the station's password."""
    (tmp_path / "password").write_text("secret\n")
    data = station_data(
        tmp_path, 1234, username="line-1", password_file="password", root="plant/a", tls={"ca": "ca.pem"}
    )
    (tmp_path / "station.yaml").write_text(yaml.safe_dump(data))
    order = _order(str(tmp_path / "station.yaml"))
    assert (order.broker.port, order.broker.username, order.broker.password) == (1234, "line-1", "secret")
    assert order.broker.client_id != "latentline-line-1" and order.broker.clean_start
    assert order.filters["plant/a/line-1/v1/cam/+/defect"] == 1 and "secret" not in repr(order)
    order = _order("--tls", "--username", "viewer", "--port", "99", "--station", "+", str(tmp_path / "station.yaml"))
    assert order.broker.tls is not None and order.broker.tls.ca == tmp_path / "ca.pem"
    assert (order.broker.port, order.broker.username, order.broker.password) == (99, "viewer", None)
    assert "plant/a/+/v1/status" in order.filters
    order = _order("--ca", "ca.pem", "--session", "office")
    assert (order.broker.port, order.broker.client_id) == (8883, "latentline-listen-office")
    assert not order.broker.clean_start and order.broker.tls is not None and order.broker.tls.ca == Path("ca.pem")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--port", "0"), "'port'"),
        (("--station", "a/b"), "'station'"),
        (("--station", "#"), "'station'"),
        (("--session", "a b"), "'session'"),
        (("--seconds", "0"), "'seconds'"),
        (("--seconds", "nan"), "'seconds'"),
        (("--root", "#"), "'root'"),
        (("--certificate", "c.pem"), "together"),
        (("--password-file", "p"), "username"),
        (("--username", "u", "--password-file", "/nowhere/p"), "/nowhere/p"),
        (("/nowhere/station.yaml",), "/nowhere/station.yaml"),
    ],
)
def test_a_wrong_option_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    """Each is a ConfigError that names what is wrong."""
    with pytest.raises(ConfigError, match=sentence):
        _order(*arguments)


def test_it_survives_a_broker_restart(mosquitto: Mosquitto, listen: Start) -> None:
    """It waits for an absent broker, prints events, connects and subscribes again after a restart, drops what comes
    twice, and ends at SIGTERM with exit code 0 and the counts."""
    listening = listen("--port", str(mosquitto.port), "--json")
    listening.wait("cannot be reached")
    mosquitto.start()
    listening.wait("connected to broker")
    with Sender(mosquitto.port) as sender:
        sender.send("status", _status("online"), retain=True)
        sender.send("cam/top/defect", _event("a", 1))
        listening.wait('"defect"')
    mosquitto.stop()
    listening.wait("trying again", 2)
    mosquitto.start()
    listening.wait("connected to broker", 2)
    with Sender(mosquitto.port) as sender:
        sender.send("cam/top/defect", _event("a", 1, replayed=True))
        sender.send("cam/top/defect", _event("b", 2))
    listening.wait('"defect"', 2)
    assert listening.end() == 0
    entries = [json.loads(line) for line in listening.output.splitlines()]
    events = [entry["message"]["event_id"] for entry in entries if entry["kind"] == "defect"]
    assert events == ["a", "b"] and [entry["kind"] for entry in entries].count("status") == 1
    assert entries[-1]["text"] == "events: 2, duplicates dropped: 1"


def test_the_life_of_a_real_station(tmp_path: Path, mosquitto: Mosquitto, listen: Start) -> None:
    """Everything a station publishes is understood; when it is killed, the broker's `offline` is said with the time of
    its coming, not that of the will, and its next start is said too."""
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


def test_a_session_hears_what_it_missed(mosquitto: Mosquitto, listen: Start) -> None:
    """With --session, events of its absence arrive at the next start."""
    mosquitto.start()
    arguments = ("--port", str(mosquitto.port), "--session", "office")
    listening = listen(*arguments)
    listening.wait("connected to broker")
    assert listening.end() == 0
    with Sender(mosquitto.port) as sender:
        sender.send("cam/top/defect", _event("missed", 1))
    again = listen(*arguments)
    again.wait("defect")
    assert again.end() == 0


def test_a_user_with_a_wrong_password_is_told(tmp_path: Path, mosquitto: Mosquitto, listen: Start) -> None:
    """One sentence that names broker and user, exit code 2, and no password anywhere."""
    mosquitto.add_user("viewer", "right")
    mosquitto.start()
    (tmp_path / "password").write_text("wrong-one")
    listening = listen(
        "--port", str(mosquitto.port), "--username", "viewer", "--password-file", str(tmp_path / "password")
    )
    error = listening.error()
    assert "refuses the connection of user 'viewer'" in error and "Traceback" not in error
    assert "wrong-one" not in error + listening.output


def test_a_message_that_cannot_be_read_is_passed_over(mosquitto: Mosquitto, listen: Start) -> None:
    """A message that MQTT allows and the library cannot read is passed over; the events after it arrive."""
    mosquitto.start()
    listening = listen("--port", str(mosquitto.port), "--session", "office")
    listening.wait("connected to broker")
    with Sender(mosquitto.port) as sender:
        sender.ask("cam/top/picture", b"x", "response/a", user=("who", "\ufeffanna"))
        sender.send("cam/top/defect", _event("after", 1))
    listening.wait("defect")
    assert listening.end() == 0 and listening.output.count("connected to broker") == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OPENSSL IS MISSING: no TLS test ran")
def test_tls_decides(tmp_path: Path, mosquitto: Mosquitto, listen: Start) -> None:
    """With the broker's authority it connects; with another one, or a file that is not there, it says so and ends."""
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


def test_something_that_is_no_broker_is_waited_for(listen: Start) -> None:
    """A server that answers the greeting with something else is said to have failed, and tried again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = listen("--host", "127.0.0.1", "--port", str(server.getsockname()[1]), "--seconds", "30")
        peer, _ = server.accept()
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.close()
        listening.wait("trying again")
        listening.process.terminate()
        assert "Traceback" not in listening.error()


def test_an_absent_broker_is_an_error_at_the_end(listen: Start, mosquitto: Mosquitto) -> None:
    """A listener that never got a connection ends with exit code 2 and says so."""
    listening = listen("--port", str(mosquitto.port), "--seconds", "0.5")
    assert "no broker let us in at localhost" in listening.error()


def test_a_closed_pipe_ends_it(mosquitto: Mosquitto) -> None:
    """`| head -1` ends the listener without a complaint."""
    mosquitto.start()
    command = [sys.executable, "-c", LISTEN, "--port", str(mosquitto.port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        with Sender(mosquitto.port) as sender:
            sender.send("cam/top/defect", _event("a", 1))
            assert process.wait(20) == 0
        assert process.stderr.read() == ""

"""Commands over a real broker, to a station that only records them."""

from __future__ import annotations

import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.commands.commander import Commander
from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.mqtt.topics import Topics
from edge_runtime.pacing import Backoff
from latentline.base.strict_yaml import parse
from tests.edge_runtime.commands.requester import RecordingStation, Requester, check_answer
from tests.mosquitto import Mosquitto
from tests.paths import ROOT
from tests.waiting import wait_until

VERBS = ["capture", "pause", "resume", "threshold", "model", "revert", "fetch", "diagnostics"]
COMMANDS = "l/s/v1/cmd"
TOPICS = Topics("l", "s")


class Listening:
    """A publisher that receives commands, and a thread that runs them in place of the station's."""

    def __init__(self, folder: Path, port: int, topics: Topics, **section: Any) -> None:
        limits = {"threshold": {"minimum": 1, "maximum": 500}, "models": str(folder), "max_per_minute": 6000}
        limits["fetch"] = {"source": "/"}
        self.station = RecordingStation()
        self.faults: dict[str, str | None] = {}
        self.spool = Spool(folder / "s.sqlite", 100)
        broker = Broker("127.0.0.1", port, "station", keep_alive=5)
        will = Will(topics.status, b"{}", 0)
        self.publisher = Publisher(broker, self.spool, lambda: will, Backoff(0.05, 0.1), self.faults.__setitem__)
        overrides = Overrides(folder / "commands.json", None, Path("/model"))
        parsed = parse({"verbs": VERBS, **limits, **section}, CommandsSection, "test")
        self.commander = Commander(parsed, topics, self.station, self.publisher.reply, overrides)
        assert self.commander.topic_filter is not None
        self.publisher.subscribe(self.commander.topic_filter, self.commander.received)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self.publisher.start()
        self.publisher.wait_first_try(10)
        self._thread.start()
        self.wait_subscribed()

    def wait_subscribed(self) -> None:
        """Wait until the broker has accepted the subscription."""
        wait_until(lambda: "commands" in self.faults, "the subscription")
        assert self.faults["commands"] is None

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.publisher.close("l/s/v1/status", {}, 0.0)
        self.spool.close()

    def _run(self) -> None:
        while not self._over.wait(0.005):
            self.commander.run_pending()


@contextmanager
def _listening(folder: Path, port: int, topics: Topics = TOPICS, **section: Any) -> Iterator[Listening]:
    listening = Listening(folder, port, topics, **section)
    listening.start()
    try:
        yield listening
    finally:
        listening.close()


def test_every_verb_end_to_end(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Each verb runs once and is answered on the requester's topic with its correlation data."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Requester(mosquitto.port) as requester:
        station = listening.station
        assert requester.ask("capture", b"1", {"camera": "top"})["result"] == {"cameras": ["top"]}
        assert requester.ask("pause", b"2")["result"] == {"paused": True}
        assert requester.ask("resume", b"3")["result"] == {"paused": False}
        set_ = requester.ask("threshold", b"4", {"value": 4.5}, who="maria")
        assert set_["result"] == {"old": 100.0, "new": 4.5, "who": "maria"}
        assert requester.ask("diagnostics", b"5")["result"] == {"state": "online"}
        requester.send(f"{COMMANDS}/model", b'{"name": "brick"}', correlation=b"6")
        wait_until(lambda: station.finishes, "the switch to begin")
        about = {"name": "n", "sha256": "s", "backend": "openvino", "threshold": 1.0}
        station.finishes[0]({"old": about, "new": about, "package": "brick"})
        assert requester.answer()[0] == b"6"
        assert [action[0] for action in station.done] == [
            "capture",
            "pause",
            "resume",
            "threshold",
            "diagnostics",
            "model",
        ]


def test_commands_work_again_after_a_broker_restart(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The station subscribes again on every connection, and commands work again."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Requester(mosquitto.port) as requester:
        assert requester.ask("pause", b"1")["ok"]
        requester.forget()
        mosquitto.stop()
        wait_until(lambda: listening.faults.get("broker"), "the loss")
        del listening.faults["commands"]
        mosquitto.start()
        requester.wait()
        listening.wait_subscribed()
        assert requester.ask("resume", b"2")["ok"]
        assert listening.station.done == [("pause",), ("resume",)]


def test_commands_to_an_absent_station_are_lost(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A command sent while the station is away, retained or not, does not run when the station is back."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port):
        pass  # so that the broker knows its session
    with Requester(mosquitto.port) as requester:
        requester.send(f"{COMMANDS}/pause", b"", correlation=b"1")
        requester.send(f"{COMMANDS}/resume", b"", correlation=b"2", retain=True)
        with _listening(tmp_path, mosquitto.port) as listening:
            assert requester.ask("diagnostics", b"3")["ok"]
            assert listening.station.done == [("diagnostics",)]


def test_invalid_requests_change_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Retained, oversized, unknown and malformed requests get an error; without a response topic there is no answer."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Requester(mosquitto.port) as requester:
        wrong: list[tuple[str, bytes, dict[str, Any], str]] = [
            ("pause", b"", {"retain": True}, "retained"),
            ("pause", b" " * 20_000, {}, "larger than"),
            ("reboot", b"", {}, "does not allow"),
            ("pause", b"{", {}, "not JSON"),
        ]
        for number, (verb, payload, rest, sentence) in enumerate(wrong):
            requester.send(f"{COMMANDS}/{verb}", payload, correlation=b"%d" % number, **rest)
            received, body = requester.answer()
            assert received == b"%d" % number and not body["ok"] and sentence in body["error"]
        requester.send(f"{COMMANDS}/pause", b"")
        assert requester.answer()[0] is None  # no correlation data, none in the answer
        silent: list[tuple[str, bytes, dict[str, Any]]] = [
            (f"{COMMANDS}/pause", b"", {"response_topic": None}),
            (f"{COMMANDS}/pause", b"", {"response_topic": "l/s/v1/status"}),
            (f"{COMMANDS}/pause", b" " * 300_000, {}),  # more than the station lets the broker send
            (f"{COMMANDS}/pause/now", b"", {}),
            ("l/t/v1/cmd/pause", b"", {}),
        ]
        for topic, payload, rest in silent:
            requester.send(topic, payload, correlation=b"7", **rest)
        assert requester.ask("diagnostics", b"8")["ok"]
        assert listening.station.done == [("diagnostics",)]
        assert listening.commander.counts["unanswerable"] == 2


def test_a_repeated_request_is_answered_and_not_run_again(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A request that is sent again with the same correlation data gets the same answer; the station acts once."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Requester(mosquitto.port) as requester:
        first = requester.ask("threshold", b"1", {"value": 5})
        assert requester.ask("threshold", b"1", {"value": 5}) == first
        assert len(listening.station.done) == 1


def test_text_that_paho_cannot_read_costs_one_message(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A user property with U+FEFF, which MQTT allows and paho refuses, does not end the station's connection."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Requester(mosquitto.port) as requester:
        requester.send(f"{COMMANDS}/pause", b"", correlation=b"1", user_properties=(("who", "\ufeffmaria"),))
        assert requester.ask("resume", b"2")["ok"]
        assert listening.publisher.connections == 1


_TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn", "Co", "Cc"]), max_size=20)


def _answers_again(requester: Requester) -> bool:
    """Try until the station answers: while its queue is full it drops requests, as it should."""
    for attempt in range(20):
        requester.send(f"{COMMANDS}/diagnostics", b"", correlation=b"end %d" % attempt)
        try:
            return bool(requester.answer(2.0)[1]["ok"])
        except queue.Empty:
            continue
    return False


def test_fuzzed_messages_change_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Random payloads and properties change nothing, and the connection survives."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Requester(mosquitto.port) as requester:

        @given(
            verb=st.sampled_from(["pause", "threshold", "model", "x"]),
            payload=st.binary(min_size=1, max_size=200).filter(lambda payload: not payload.strip().startswith(b"{")),
            correlation=st.none() | st.binary(max_size=300),
            response_topic=st.none() | _TEXT.filter(lambda topic: topic and not set(topic) & set("#+")),
            pairs=st.lists(st.tuples(_TEXT, _TEXT), max_size=3),
        )
        @settings(max_examples=150, suppress_health_check=list(HealthCheck), database=None)
        def send(
            verb: str,
            payload: bytes,
            correlation: bytes | None,
            response_topic: str | None,
            pairs: list[tuple[str, str]],
        ) -> None:
            requester.send(
                f"{COMMANDS}/{verb}",
                payload,
                correlation=correlation,
                response_topic=response_topic,
                user_properties=tuple(pairs),
            )

        send()
        assert _answers_again(requester)
        assert set(listening.station.done) == {("diagnostics",)}
        assert listening.publisher.connections == 1


@pytest.mark.skipif(shutil.which("mosquitto_rr") is None, reason="MOSQUITTO_RR IS MISSING: install mosquitto-clients")
def test_the_page_s_command_works(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The shell command of docs/mqtt.md sets the threshold of a station and prints the answer."""
    mosquitto.start()
    page = (ROOT / "docs" / "mqtt.md").read_text()
    found = re.search(r"^    (mosquitto_rr (?:.*\\\n)?.*)$", page, re.MULTILINE)
    assert found is not None
    command = found.group(1).replace("HOST", f"127.0.0.1 -p {mosquitto.port} -W 20")
    with _listening(tmp_path, mosquitto.port, Topics("latentline", "line-1")) as listening:
        done = subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=30)
        answer = check_answer(done.stdout)["result"]
        assert answer["old"] == 100.0 and answer["who"] != "unknown"
        assert listening.station.done == [("threshold", answer["new"])]

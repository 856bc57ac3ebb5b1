"""Commands over a real broker, to a station that only notes what it was asked."""

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
from edge_runtime.commands.persisted import Persisted
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.mqtt.topics import Topics
from edge_runtime.pacing import Backoff
from latentline.base.strict_yaml import parse
from tests.edge_runtime.commands.asker import Asker, NotingStation, check_answer
from tests.mosquitto import Mosquitto
from tests.paths import ROOT
from tests.waiting import wait_until

VERBS = ["capture", "pause", "resume", "threshold", "model", "diagnostics"]
COMMANDS = "l/s/v1/cmd"
TOPICS = Topics("l", "s")


class Listening:
    """A publisher that hears commands, and a thread in the place of the station's that runs them."""

    def __init__(self, folder: Path, port: int, topics: Topics, **section: Any) -> None:
        limits = {"threshold": {"minimum": 1, "maximum": 500}, "models": str(folder), "max_per_minute": 6000}
        self.station = NotingStation()
        self.faults: dict[str, str | None] = {}
        self.spool = Spool(folder / "s.sqlite", 100)
        broker = Broker("127.0.0.1", port, "station", keep_alive=5)
        will = Will(topics.status, b"{}", 0)
        self.publisher = Publisher(broker, self.spool, lambda: will, Backoff(0.05, 0.1), self.faults.__setitem__)
        persisted = Persisted(folder / "commands.json", None, Path("/model"))
        wanted = parse({"verbs": VERBS, **limits, **section}, CommandsSection, "test")
        self.commander = Commander(wanted, topics, self.station, self.publisher.reply, persisted)
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
        """The broker has said yes to the subscription."""
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
    """Each verb is carried out once and answered on the asker's topic with his correlation data."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Asker(mosquitto.port) as asker:
        station = listening.station
        assert asker.ask("capture", b"1", {"camera": "top"})["result"] == {"cameras": ["top"]}
        assert asker.ask("pause", b"2")["result"] == {"paused": True}
        assert asker.ask("resume", b"3")["result"] == {"paused": False}
        set_ = asker.ask("threshold", b"4", {"value": 4.5}, who="maria")
        assert set_["result"] == {"old": 100.0, "new": 4.5, "who": "maria"}
        assert asker.ask("diagnostics", b"5")["result"] == {"state": "online"}
        asker.send(f"{COMMANDS}/model", b'{"name": "brick"}', correlation=b"6")
        wait_until(lambda: station.finishes, "the switch to begin")
        about = {"name": "n", "sha256": "s", "backend": "openvino", "threshold": 1.0}
        station.finishes[0]({"old": about, "new": about, "package": "brick"})
        assert asker.answer()[0] == b"6"
        assert [action[0] for action in station.done] == [
            "capture",
            "pause",
            "resume",
            "threshold",
            "diagnostics",
            "model",
        ]


def test_commands_work_again_after_a_broker_restart(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The subscription is made again on every connection; what was said in between is not carried out."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Asker(mosquitto.port) as asker:
        assert asker.ask("pause", b"1")["ok"]
        asker.forget()
        mosquitto.stop()
        wait_until(lambda: listening.faults.get("broker"), "the loss")
        del listening.faults["commands"]
        mosquitto.start()
        asker.wait()
        listening.wait_subscribed()
        assert asker.ask("resume", b"2")["ok"]
        assert listening.station.done == [("pause",), ("resume",)]


def test_commands_wait_for_nobody(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A command given while the station is away, retained or not, is not carried out when it comes."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port):
        pass  # so that the broker knows its session
    with Asker(mosquitto.port) as asker:
        asker.send(f"{COMMANDS}/pause", b"", correlation=b"1")
        asker.send(f"{COMMANDS}/resume", b"", correlation=b"2", retain=True)
        with _listening(tmp_path, mosquitto.port) as listening:
            assert asker.ask("diagnostics", b"3")["ok"]
            assert listening.station.done == [("diagnostics",)]


def test_what_is_wrong_changes_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Retained, oversized, unknown and malformed requests are answered; without a response topic there is silence."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Asker(mosquitto.port) as asker:
        wrong: list[tuple[str, bytes, dict[str, Any], str]] = [
            ("pause", b"", {"retain": True}, "retained"),
            ("pause", b" " * 20_000, {}, "larger than"),
            ("reboot", b"", {}, "not one that this station allows"),
            ("pause", b"{", {}, "not JSON"),
        ]
        for number, (verb, payload, rest, sentence) in enumerate(wrong):
            asker.send(f"{COMMANDS}/{verb}", payload, correlation=b"%d" % number, **rest)
            answered, body = asker.answer()
            assert answered == b"%d" % number and not body["ok"] and sentence in body["error"]
        asker.send(f"{COMMANDS}/pause", b"")
        assert asker.answer()[0] is None  # no correlation data, none in the answer
        silent: list[tuple[str, bytes, dict[str, Any]]] = [
            (f"{COMMANDS}/pause", b"", {"response_topic": None}),
            (f"{COMMANDS}/pause", b"", {"response_topic": "l/s/v1/status"}),
            (f"{COMMANDS}/pause", b" " * 300_000, {}),  # more than the station lets the broker send
            (f"{COMMANDS}/pause/now", b"", {}),
            ("l/t/v1/cmd/pause", b"", {}),
        ]
        for topic, payload, rest in silent:
            asker.send(topic, payload, correlation=b"7", **rest)
        assert asker.ask("diagnostics", b"8")["ok"]
        assert listening.station.done == [("diagnostics",)]
        assert listening.commander.counts["unanswerable"] == 2


def test_a_repeated_request_is_answered_and_not_repeated(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Who got no answer may ask again with the same correlation data; the station acts once."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Asker(mosquitto.port) as asker:
        first = asker.ask("threshold", b"1", {"value": 5})
        assert asker.ask("threshold", b"1", {"value": 5}) == first
        assert len(listening.station.done) == 1


def test_text_that_paho_cannot_read_costs_one_message(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A user property with U+FEFF, which MQTT allows and paho refuses, does not end the station's connection."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Asker(mosquitto.port) as asker:
        asker.send(f"{COMMANDS}/pause", b"", correlation=b"1", user_properties=(("who", "\ufeffmaria"),))
        assert asker.ask("resume", b"2")["ok"]
        assert listening.publisher.connections == 1


_TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn", "Co", "Cc"]), max_size=20)


def _answered_in_the_end(asker: Asker) -> bool:
    """Ask again where the flood before it was too much: what finds no room is dropped, as it should be."""
    for attempt in range(20):
        asker.send(f"{COMMANDS}/diagnostics", b"", correlation=b"end %d" % attempt)
        try:
            return bool(asker.answer(2.0)[1]["ok"])
        except queue.Empty:
            continue
    return False


def test_fuzzed_messages_change_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Whatever payloads and properties come over the broker, nothing is changed and the connection stands."""
    mosquitto.start()
    with _listening(tmp_path, mosquitto.port) as listening, Asker(mosquitto.port) as asker:

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
            asker.send(
                f"{COMMANDS}/{verb}",
                payload,
                correlation=correlation,
                response_topic=response_topic,
                user_properties=tuple(pairs),
            )

        send()
        assert _answered_in_the_end(asker)
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
        asked = subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=30)
        answer = check_answer(asked.stdout)["result"]
        assert answer["old"] == 100.0 and answer["who"] != "unknown"
        assert listening.station.done == [("threshold", answer["new"], answer["who"])]

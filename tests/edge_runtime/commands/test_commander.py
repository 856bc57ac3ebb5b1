from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.commands.answered_file import AnsweredFile
from edge_runtime.commands.answers import WINDOW_SECONDS, AnswerCache
from edge_runtime.commands.commander import Commander
from edge_runtime.commands.local_request import LocalRequest
from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.request import ModelRequest, ThresholdRequest
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.topics import Topics
from latentline.base.strict_yaml import parse
from latentline.errors import LatentlineError
from tests.edge_runtime.commands.requester import RESPONSES, RecordingStation, check_answer, check_request, collecting

VERBS = ["capture", "pause", "resume", "threshold", "model", "revert", "fetch", "diagnostics"]


class Bench:
    """A commander with a station that records, and the answers it sent."""

    def __init__(self, folder: Path, **section: Any) -> None:
        data = {
            "verbs": VERBS,
            "threshold": {"minimum": 1, "maximum": 500},
            "models": str(folder),
            "fetch": {"source": "/"},
        }
        data |= section
        self.station = RecordingStation()
        self.answers: list[tuple[str, bytes, bytes | None]] = []
        self.moment = 0.0
        self.overrides = Overrides(folder / "commands.json", None, Path("/model"))
        self.commander = Commander(
            parse(data, CommandsSection, "test"),
            Topics("l", "s"),
            self.station,
            collecting(self.answers),
            self.overrides,
            lambda: self.moment,
        )

    def give(
        self, verb: str, payload: bytes | dict[str, Any] = b"", correlation: bytes | None = b"1", **rest: Any
    ) -> None:
        """Receive a request and run it."""
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        rest = {"response_topic": RESPONSES, **rest}
        self.commander.received(Received(f"l/s/v1/cmd/{verb}", content, correlation=correlation, **rest))
        self.commander.run_pending()

    def ask(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Send a request; returns the body of its one answer."""
        before = len(self.answers)
        self.give(*args, **kwargs)
        (answer,) = self.answers[before:]
        return check_answer(answer[1])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_every_verb_is_carried_out_and_answered(bench: Bench) -> None:
    """Each verb reaches the station once, and its answer carries the result and the correlation data."""
    requests: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("capture", {}, {"cameras": ["top"]}),
        ("capture", {"camera": "top"}, {"cameras": ["top"]}),
        ("pause", {}, {"paused": True}),
        ("resume", {}, {"paused": False}),
        ("threshold", {"value": 4, "who": "maria"}, {"old": 100.0, "new": 4.0, "who": "maria"}),
        ("diagnostics", {}, {"state": "online"}),
    ]
    for number, (verb, payload, result) in enumerate(requests):
        check_request(verb, payload)
        body = bench.ask(verb, payload, b"%d" % number)
        assert (body["ok"], body["verb"], body["station"], body["result"]) == (True, verb, "s", result)
        assert bench.answers[-1][::2] == (RESPONSES, b"%d" % number)
    assert [action[0] for action in bench.station.done] == [verb for verb, *_ in requests]
    assert bench.overrides.threshold(bench.station.identity.sha256) == 4.0
    assert bench.commander.counts == {"done": len(requests)}


def test_a_model_is_answered_when_it_is_switched(bench: Bench) -> None:
    """The answer follows `finish`. A repeated request gets no answer before that, and the same answer afterwards."""
    payload = {"name": "brick-2.zip", "sha256": "ab" * 32}
    check_request("model", payload)
    bench.give("model", payload)
    bench.give("model", payload)
    assert bench.answers == [] and len(bench.station.finishes) == 1
    about = {"name": "n", "sha256": "s", "backend": "openvino", "threshold": 1.0}
    bench.station.finishes[0]({"old": about, "new": about, "package": "brick-2.zip"})
    assert check_answer(bench.answers[0][1])["result"]["package"] == "brick-2.zip"
    assert bench.ask("model", payload) == check_answer(bench.answers[0][1])
    assert len(bench.station.finishes) == 1
    bench.give("model", payload, b"2")
    bench.station.finishes[1](LatentlineError("model fake stays: self-test"))
    assert check_answer(bench.answers[-1][1])["error"] == "model fake stays: self-test"


def test_going_back_and_fetching_are_answered_when_they_are_done(bench: Bench) -> None:
    """The answers follow `finish`, and have what the schema says."""
    model = {"sha256": "ab" * 32}
    package = {"name": "brick-2.zip", "sha256": "ef" * 32}
    check_request("revert", model)
    check_request("fetch", package)
    bench.give("revert", model)
    bench.give("fetch", package, b"2")
    assert bench.station.done == [("revert", "ab" * 32), ("fetch", "brick-2.zip", "ef" * 32)] and not bench.answers
    about = {"name": "n", "sha256": "s", "backend": "openvino", "threshold": 1.0}
    bench.station.finishes[0]({"old": about, "new": about, "package": "brick-1.zip"})
    bench.station.finishes[1]({"package": "brick-2.zip", "bytes": 1000, "resumed_at": 0})
    assert [check_answer(answer[1])["verb"] for answer in bench.answers] == ["revert", "fetch"]


@pytest.mark.parametrize("name", ["brick-2", "../brick.zip", "a/b.zip", ".zip", "x" * 100 + ".zip"])
def test_what_is_fetched_has_a_plain_name(bench: Bench, name: str) -> None:
    """So nothing is written elsewhere than into the folder of packages, and nothing else is read."""
    assert "name" in bench.ask("fetch", {"name": name, "sha256": "ef" * 32})["error"] and not bench.station.done


def test_nothing_is_done_twice(bench: Bench) -> None:
    """A repeated request gets the same answer; another request with its correlation data is refused."""
    first = bench.ask("threshold", {"value": 4})
    assert bench.ask("threshold", {"value": 4}) == first
    refused = bench.ask("threshold", {"value": 5})
    assert not refused["ok"] and "correlation data was used" in refused["error"]
    assert not bench.ask("pause")["ok"]
    assert bench.station.done == [("threshold", 4.0)]
    assert bench.ask("pause", response_topic="elsewhere/office")["ok"]  # each requester has its own correlation data


@pytest.mark.parametrize(
    ("verb", "payload", "rest", "sentence"),
    [
        ("pause", b"", {"retained": True}, "retained"),
        ("pause", b" " * 20_000, {}, "larger than 16384 bytes"),
        ("pause", b"", {"expiry": 0}, "expired"),
        ("pause", b"", {"correlation": None}, "correlation data"),
        ("pause", b"", {"correlation": b"x" * 200}, "correlation data"),
        ("reboot", b"", {}, "does not allow the command 'reboot'"),
        ("pause/now", b"", {}, "does not allow the command 'pause/now'"),
        ("pause", b"{", {}, "not JSON"),
        ("pause", b"\xff\xfe", {}, "not JSON"),
        ("pause", b"[" * 10_000, {}, "not JSON"),
        ("pause", b"[]", {}, "not a JSON object"),
        ("pause", b'{"quick": true}', {}, "unknown key 'quick'"),
        ("capture", b'{"camera": 5}', {}, "camera"),
        ("capture", b'{"camera": "side"}', {}, "no camera 'side'"),
        ("threshold", b"{}", {}, "'value' is missing"),
        ("threshold", b'{"value": "5"}', {}, "value"),
        ("threshold", b'{"value": true}', {}, "value"),
        ("threshold", b'{"value": NaN}', {}, "not JSON"),
        ("threshold", b'{"value": 1e999}', {}, "value"),
        ("threshold", b'{"value": 0.5}', {}, "bounds, 1 to 500"),
        ("threshold", b'{"value": 501}', {}, "bounds, 1 to 500"),
        ("model", b'{"name": "../brick"}', {}, "name"),
        ("model", b'{"name": "/etc"}', {}, "name"),
        ("model", b'{"name": "absent"}', {}, "no such package"),
        ("model", b'{"name": "a", "sha256": "AB"}', {}, "sha256"),
    ],
)
def test_an_invalid_request_changes_nothing_and_says_why(
    bench: Bench, verb: str, payload: bytes, rest: dict[str, Any], sentence: str
) -> None:
    """The answer to an invalid request says why, without a secret, and the station does nothing."""
    body = bench.ask(verb, payload, **rest)
    assert not body["ok"] and sentence in body["error"] and "secret" not in body["error"]
    assert [action for action in bench.station.done if action[0] != "model"] == []
    assert bench.station.finishes == [] and bench.overrides.threshold(bench.station.identity.sha256) is None


@pytest.mark.parametrize(
    "topic",
    [
        *(
            None,
            "",
            "l",
            "l/s/v1/cmd/pause",
            "l/t/v1/cmd/pause",
            "l/s/v1/status",
            "l/s/v1/response",
            "l/s/v1/response/",
        ),
        *("office/#", "+", "$SYS/x", "/x", "a\nb", "x" * 300),
    ],
)
def test_no_answer_goes_where_it_must_not(bench: Bench, topic: str | None) -> None:
    """A request whose answer would be a station's message or a command, or has no topic, does nothing."""
    bench.give("pause", response_topic=topic)
    assert bench.answers == [] and bench.station.done == [] and bench.commander.counts == {"unanswerable": 1}


def test_verbs_that_are_not_enabled_are_refused(tmp_path: Path) -> None:
    """Each verb is enabled by name; without any the station subscribes to nothing."""
    bench = Bench(tmp_path, verbs=["pause"])
    for number, verb in enumerate(VERBS):
        assert bench.ask(verb, b"", b"%d" % number)["ok"] == (verb == "pause")
    assert bench.commander.topic_filter == "l/s/v1/cmd/+"
    assert Bench(tmp_path, verbs=[]).commander.topic_filter is None


def test_too_many_requests_are_refused_for_a_minute(tmp_path: Path) -> None:
    """Requests beyond max_per_minute are refused; a minute later the station runs the next one."""
    bench = Bench(tmp_path, max_per_minute=3)
    allowed = [bench.ask("pause", b"", b"%d" % number)["ok"] for number in range(5)]
    assert allowed == [True] * 3 + [False] * 2
    bench.moment = 61.0
    assert bench.ask("pause", b"", b"4")["ok"]


def _flood(bench: Bench, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        bench.give("pause", b"", b"flood %d" % number)
        if number % 5000 == 0:
            bench.moment += 61.0


def test_an_answered_command_is_not_carried_out_again_whatever_came_between(tmp_path: Path) -> None:
    """For ten minutes after its answer, and after thousands of others; then it may be used anew."""
    bench = Bench(tmp_path, max_per_minute=6000)
    first = bench.ask("threshold", {"value": 7}, b"mine")
    _flood(bench, 3000)
    bench.moment = WINDOW_SECONDS - 1
    assert bench.ask("threshold", {"value": 7}, b"mine") == first
    assert [action for action in bench.station.done if action[0] == "threshold"] == [("threshold", 7.0)]
    with_other = bench.ask("threshold", {"value": 8}, b"mine")
    assert "was used for another request" in with_other["error"]
    bench.moment = WINDOW_SECONDS + 1
    assert bench.ask("threshold", {"value": 8}, b"mine")["ok"]


def test_the_memory_of_answers_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many large answers only the newest are kept; a repeated request of an older one is refused, not run."""
    monkeypatch.setattr("edge_runtime.commands.answers._MOST_ANSWER_BYTES", 2000)
    bench = Bench(tmp_path, max_per_minute=6000)
    _flood(bench, 50)
    before = len(bench.station.done)
    assert "carried out before" in bench.ask("pause", b"", b"flood 0")["error"]
    assert bench.ask("pause", b"", b"flood 49")["ok"] and len(bench.station.done) == before


def test_a_restart_forgets_no_command(tmp_path: Path) -> None:
    """What was carried out in the last ten minutes is on the disk; a broken or old line there is no command."""
    time = 1e9

    def bench() -> Bench:
        made = Bench(tmp_path)
        file = AnsweredFile(tmp_path / "spool.answered", lambda: time)
        made.commander._cache = AnswerCache(lambda: made.moment, file)
        return made

    assert bench().ask("pause", b"", b"1")["ok"]
    with (tmp_path / "spool.answered").open("a") as file:
        file.write(
            '[1, "a"]\n{"\x00\n[1e9, 3, null]\n["x", "a", "b"]\n' + "[" * 100_000 + f'\n[1{"0" * 400}, "a", "b"]\n'
        )
        file.write('[1000000000.0, "a lin')  # a power cut in the middle of a line
    again = bench()
    assert "carried out before" in again.ask("pause", b"", b"1")["error"] and again.station.done == []
    assert again.ask("pause", b"", b"2")["ok"]
    assert "carried out before" in bench().ask("pause", b"", b"2")["error"]
    time += WINDOW_SECONDS + 1
    assert bench().ask("pause", b"", b"1")["ok"]


def test_the_file_of_commands_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old lines go; where the disk takes nothing, the command is carried out and the log says so."""
    monkeypatch.setattr("edge_runtime.commands.answered_file._LINES", 50)
    time = 0.0
    file = AnsweredFile(tmp_path / "a", lambda: time)
    for number in range(150):
        time += 1.0
        file.add(str(number), "f", 10.0)
    assert len((tmp_path / "a").read_text().splitlines()) <= 51
    assert [address for address, _, _ in file.load(10.0)] == [str(number) for number in range(139, 150)]
    AnsweredFile(tmp_path / "no" / "folder").add("a", "f", 10.0)


def test_a_request_can_expire_in_the_queue(bench: Bench) -> None:
    """A request that expires while the station works on a frame is refused."""
    item = Received("l/s/v1/cmd/pause", b"", response_topic=RESPONSES, correlation=b"1", expiry=5)
    bench.commander.received(item)
    bench.moment = 6.0
    bench.commander.run_pending()
    assert "expired" in check_answer(bench.answers[0][1])["error"] and bench.station.done == []


def test_a_flood_is_bounded(bench: Bench) -> None:
    """While the station is busy, 32 requests wait; the others are dropped and counted."""
    for number in range(1000):
        bench.commander.received(
            Received("l/s/v1/cmd/pause", b"", response_topic=RESPONSES, correlation=b"%d" % number)
        )
    bench.commander.run_pending()
    assert len(bench.station.done) + bench.commander.counts["overflow"] == 1000 and len(bench.station.done) == 32


def test_a_fault_of_the_station_is_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that raises, or returns what JSON cannot hold, is answered, and the next command works."""

    def broken() -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(bench.station, "pause", broken)
    assert "ZeroDivisionError" in bench.ask("pause")["error"]
    monkeypatch.setattr(bench.station, "diagnostics", lambda: {"x": float("nan")})
    assert not bench.ask("diagnostics", b"", b"2")["ok"]
    monkeypatch.setattr(bench.station, "diagnostics", lambda: {"x": object()})
    assert not bench.ask("diagnostics", b"", b"3")["ok"]
    assert bench.ask("resume", b"", b"4")["ok"]


def test_a_threshold_that_cannot_be_saved_is_not_set(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full, the old threshold stays and the answer says why."""

    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("latentline.base.atomic.write_text", full)
    body = bench.ask("threshold", {"value": 4})
    assert not body["ok"] and "No space left" in body["error"] and bench.station.done == []


def test_the_requester_is_in_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The audit line has verb, requester, old and new value; control characters in a name cannot forge a line."""
    with caplog.at_level(logging.INFO, "latentline.audit"):
        bench.ask("threshold", {"value": 4}, user_properties=(("who", "maria\n2026 ERROR"),))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "latentline.audit"]
    assert "threshold by maria2026 ERROR done" in line and "'old': 100.0, 'new': 4.0" in line and "\n" not in line


_TEXT = st.text(max_size=40)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_TEXT | st.sampled_from(["who", "camera"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_PAYLOADS = st.binary(max_size=60) | _JSON.map(lambda data: json.dumps(data).encode())
_ITEMS = st.builds(
    Received,
    topic=st.sampled_from([f"l/s/v1/cmd/{verb}" for verb in [*VERBS, "", "#"]] + VERBS) | _TEXT,
    payload=_PAYLOADS,
    retained=st.booleans(),
    qos=st.integers(0, 2),
    response_topic=st.none()
    | st.just(RESPONSES)
    | st.sampled_from(["l/s/v1/", "x/"]).flatmap(lambda a: _TEXT.map(a.__add__)),
    correlation=st.none() | st.binary(max_size=140),
    user_properties=st.lists(st.tuples(st.just("who") | _TEXT, _TEXT), max_size=2).map(tuple),
    expiry=st.none() | st.integers(0, 2**32 - 1),
)


@given(item=_ITEMS)
@settings(max_examples=300)
def test_fuzzed_requests_change_nothing_unless_the_schema_has_them(
    item: Received, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After any message the thread lives, answers fit their schema, and only what fits the request's schema ran."""
    bench = Bench(tmp_path_factory.getbasetemp())
    bench.commander.received(item)
    bench.commander.run_pending()
    assert sum(bench.commander.counts.values()) == 1 and len(bench.answers) <= 1
    if bench.station.done:
        assert item.topic.startswith("l/s/v1/cmd/")
        assert item.response_topic and item.correlation and not item.retained and item.expiry != 0
        check_request(bench.station.done[0][0], json.loads(item.payload or b"{}"))
    assert bench.ask("resume", b"", b"afterwards", response_topic="later")["ok"]


@pytest.mark.parametrize("verb", VERBS)
def test_the_schema_allows_no_more_than_the_station(verb: str) -> None:
    """A payload with an unknown key fits no verb's schema."""
    with pytest.raises(jsonschema.ValidationError):
        check_request(verb, {"name": "a", "value": 1, "more": 1})


def test_the_page_asks_as_a_command_does(bench: Bench) -> None:
    """A request of the page is bounded, kept and carried out in the station's thread, without any verb enabled."""
    good, wide, model = (
        LocalRequest(ThresholdRequest(value=5.0), "anna"),
        LocalRequest(ThresholdRequest(value=5000.0), "anna"),
        LocalRequest(ModelRequest(name="other.zip"), "anna"),
    )
    for local in (good, wide, model):
        bench.commander.ask(local)
    assert not good.outcome.done()
    bench.commander.run_pending()
    assert good.outcome.result(0)["new"] == 5.0 and bench.overrides.threshold(bench.station.identity.sha256) == 5.0
    with pytest.raises(LatentlineError, match="not within this station's bounds"):
        wide.outcome.result(0)
    assert model.outcome.running() and bench.answers == []  # a switch takes its time


def test_a_request_that_the_page_gave_up_changes_nothing(bench: Bench) -> None:
    """What is cancelled before the station's thread has begun is not carried out."""
    local = LocalRequest(ThresholdRequest(value=5.0), "anna")
    bench.commander.ask(local)
    assert local.outcome.cancel()
    bench.commander.run_pending()
    assert bench.overrides.threshold(bench.station.identity.sha256) is None


def test_without_bounds_the_page_changes_nothing(tmp_path: Path) -> None:
    """A station without bounds and without a folder of packages says which setting is missing."""
    bench = Bench(tmp_path, verbs=[], threshold=None, models=None)
    for request, setting in ((ThresholdRequest(value=5.0), "threshold"), (ModelRequest(name="a.zip"), "models")):
        local = LocalRequest(request, "anna")
        bench.commander.ask(local)
        bench.commander.run_pending()
        with pytest.raises(LatentlineError, match=f"commands.{setting}"):
            local.outcome.result(0)

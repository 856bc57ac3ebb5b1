from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.trial import PROBE_PROPERTY, probe
from edge_runtime.tools.listen.entry import Entry
from edge_runtime.tools.listen.journal import Journal
from tests.edge_runtime.tools.listen.samples import AT, BIRTH, HEALTH, TOPIC, event, status


def _message(rest: str, message: dict[str, Any] | bytes, **about: Any) -> Received:
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Received(TOPIC + rest, payload, **about)


def _texts(journal: Journal, rest: str, message: dict[str, Any] | bytes, **about: Any) -> list[tuple[str, str]]:
    return [(entry.kind, entry.text) for entry in journal.receive(_message(rest, message, **about))]


def test_each_message_becomes_a_line() -> None:
    """Status with reasons, birth, camera, defect, picture, response and health each become one line."""
    journal = Journal("latentline")
    (entry,) = journal.receive(_message("status", status("degraded", camera="top is stalled", disk="full")))
    assert entry.line() == f"{AT}  line-1        status      degraded (camera: top is stalled; disk: full)"
    birth = (
        "latentline 0.1.0, model tiles abababababab, backend openvino, threshold 3.2, "
        "cameras top (device), side (stream)"
    )
    assert _texts(journal, "birth", BIRTH) == [("birth", birth)]
    camera = {"at": AT, "state": "stalled", "reason": "no frame for 5 s"}
    assert _texts(journal, "cam/top/status", camera) == [("camera", "top: stalled (no frame for 5 s)")]
    late = {"at": AT, "state": "ok", "reason": "verdicts are late", "lateness_seconds": 24.04}
    assert _texts(journal, "cam/top/status", late) == [
        ("camera", "top: ok (verdicts are late), verdicts 24.0 s after their frames")
    ]
    assert _texts(journal, "cam/top/defect", event("a", 7, replayed=True)) == [
        ("defect", "top: score 4.50 > 3.20  40 x 22 px at x 12 y 3, peak 9.1  seq 7, replayed")
    ]
    many = event("b", 8, defects=[{"bbox": [1, 2, 3, 4], "peak": 1}] * 5)
    assert _texts(journal, "cam/top/defect", many)[0][1].endswith("; 2 more  seq 8")
    picture = _texts(journal, "cam/top/picture", b"\xff\xd8jpeg", user_properties=(("event_id", "a"),))
    assert picture == [("picture", "top: 6 bytes of event a")]
    done = {"at": AT, "verb": "threshold", "ok": True, "result": {"old": 3.2, "new": 4}}
    assert _texts(journal, "response/me", done) == [("response", 'threshold done: {"old": 3.2, "new": 4}')]
    refused = {"at": AT, "verb": "model", "ok": False, "error": "no such package"}
    assert _texts(journal, "response/me", refused) == [("response", "model refused: no such package")]
    assert _texts(journal, "health", HEALTH) == [
        (
            "health",
            "degraded (disk), up 1 h 6 min, 70 frames, 3 abnormal, verdicts up to 1.5 s after their frames, 2 events "
            "waiting, 250 MiB",
        )
    ]


def test_probes_are_not_printed() -> None:
    """What `check` publishes to try the broker is no line, on whatever topic."""
    journal = Journal("latentline")
    for rest in ("status", "cam/top/defect", "cam/top/picture", "health", "response/probe", "cmd/probe"):
        assert _texts(journal, rest, probe("line-1"), user_properties=(PROBE_PROPERTY,)) == []


def test_a_state_is_printed_when_it_changes() -> None:
    """A retained state that comes again after a reconnect is not printed again; a new state is."""
    journal = Journal("latentline")
    for rest, message in (("status", status("online")), ("birth", BIRTH)):
        assert len(_texts(journal, rest, message)) == 1
        assert _texts(journal, rest, message, retained=True) == []
    assert _texts(journal, "status", status("degraded", disk="full")) == [("status", "degraded (disk: full)")]
    assert _texts(journal, "status", status("online")) == [("status", "online")]


def test_duplicates_are_dropped_and_counted() -> None:
    """An event is printed once; its repetitions are counted before the next event and at the end."""
    journal = Journal("latentline")
    assert [kind for kind, _ in _texts(journal, "cam/top/defect", event("a", 1))] == ["defect"]
    assert _texts(journal, "cam/top/defect", event("a", 1, replayed=True)) == []
    assert _texts(journal, "cam/top/defect", event("a", 1, replayed=True)) == []
    texts = _texts(journal, "cam/top/defect", event("b", 2))
    assert texts[0] == ("duplicates", "2 events came again and were dropped") and texts[1][0] == "defect"
    assert _texts(journal, "cam/top/defect", event("b", 2)) == []
    assert [entry.text for entry in journal.unreported()] == ["1 event came again and was dropped"]
    assert (journal.events, journal.duplicates) == (2, 3)


def test_missing_events_are_noticed() -> None:
    """A gap in seq is reported once, per station; an older event that comes late is no gap."""
    journal = Journal("latentline")
    kinds = [[kind for kind, _ in _texts(journal, "cam/top/defect", event(str(seq), seq))] for seq in (4, 5, 8, 7, 9)]
    assert kinds == [["defect"], ["defect"], ["gap", "defect"], ["defect"], ["defect"]]
    other = Received("latentline/line-2/v1/cam/top/defect", json.dumps(event("x", 1)).encode())
    assert [entry.kind for entry in journal.receive(other)] == ["defect"]


def test_health_is_printed_once_a_minute() -> None:
    """Of many health messages of a station one a minute is printed."""
    moment = 100.0
    journal = Journal("latentline", lambda: moment)
    assert len(_texts(journal, "health", HEALTH)) == 1
    moment += 59
    assert _texts(journal, "health", HEALTH) == []
    moment += 2
    assert len(_texts(journal, "health", HEALTH)) == 1


def test_silence_is_noticed() -> None:
    """A station whose newest health message has expired is reported once as silent, unless it has stopped; time in
    which the listener itself had no connection does not count."""
    moment = 0.0
    journal = Journal("latentline", lambda: moment)
    _texts(journal, "health", HEALTH, expiry=90)
    moment = 89
    assert list(journal.overdue()) == []
    journal.connected()
    moment = 170
    assert list(journal.overdue()) == []
    moment = 180
    assert [entry.text for entry in journal.overdue()] == ["no sign of life for 90 s, and no status says why"]
    assert list(journal.overdue()) == []
    _texts(journal, "health", HEALTH, expiry=90)
    _texts(journal, "status", status("stopped"))
    moment = 1000
    assert list(journal.overdue()) == []


@pytest.mark.parametrize("received", [False, True])
def test_that_no_message_comes_is_reported(received: bool) -> None:
    """A listener that receives no message at all says once why that may be; one that receives any does not."""
    moment = 0.0
    journal = Journal("latentline", lambda: moment)
    journal.connected()
    if received:
        _texts(journal, "status", status("online"))
    moment = 6
    assert len(list(journal.overdue())) == (not received)
    journal.connected()
    moment = 20
    assert list(journal.overdue()) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_good = [status("online"), BIRTH, event("a", 1), HEALTH, {"at": AT, "ok": True, "verb": "x"}]


@st.composite
def _payloads(draw: st.DrawFn) -> bytes:
    """Bytes, JSON, and messages of a station with up to two fields of another type."""
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
    """Any message gives entries that are one printable line and one JSON object each, and never raises."""
    for entry in Journal("latentline").receive(Received(TOPIC + rest, payload)):
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
    """Deep nesting, infinite numbers and broken text become one printable line."""
    (entry,) = Journal("latentline").receive(_message("status", payload))
    assert entry.kind == "unreadable" and entry.line().isprintable() and entry.json().isascii()


def test_no_secret_and_no_escape_is_printed() -> None:
    """Credentials in URLs are masked, and control characters of a message do not reach the terminal."""
    entry = Entry("status", "rtsp://user:secret@camera/ \x1b[2J\n\u202e", "line-1", message={"source": "rtsp://u:p@c"})
    for text in (entry.line(), entry.json()):
        assert "secret" not in text and "u:p" not in text and "\x1b" not in text and "\n" not in text
    assert "//***@camera/ \\x1b[2J\\n\\u202e" in entry.line()

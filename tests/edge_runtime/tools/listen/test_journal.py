from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.mqtt.packets import Received
from edge_runtime.tools.listen.entry import Entry
from edge_runtime.tools.listen.journal import Journal
from tests.edge_runtime.tools.listen.samples import AT, BIRTH, HEALTH, TOPIC, event, status


def _heard(rest: str, message: dict[str, Any] | bytes, **about: Any) -> Received:
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Received(TOPIC + rest, payload, **about)


def _said(journal: Journal, rest: str, message: dict[str, Any] | bytes, **about: Any) -> list[tuple[str, str]]:
    return [(entry.kind, entry.text) for entry in journal.hear(_heard(rest, message, **about))]


def test_each_message_is_said_in_words() -> None:
    """Status with reasons, birth, camera, defect, picture, response and health each become one line."""
    journal = Journal("latentline")
    (entry,) = journal.hear(_heard("status", status("degraded", camera="top is stalled", disk="full")))
    assert entry.line() == f"{AT}  line-1        status      degraded (camera: top is stalled; disk: full)"
    birth = (
        "latentline 0.1.0, model tiles abababababab, backend openvino, threshold 3.2, "
        "cameras top (device), side (stream)"
    )
    assert _said(journal, "birth", BIRTH) == [("birth", birth)]
    camera = {"at": AT, "state": "stalled", "reason": "no frame for 5 s"}
    assert _said(journal, "cam/top/status", camera) == [("camera", "top: stalled (no frame for 5 s)")]
    assert _said(journal, "cam/top/defect", event("a", 7, replayed=True)) == [
        ("defect", "top: score 4.50 > 3.20  40 x 22 px at x 12 y 3, peak 9.1  seq 7, replayed")
    ]
    many = event("b", 8, defects=[{"bbox": [1, 2, 3, 4], "peak": 1}] * 5)
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
    for rest, message in (("status", status("online")), ("birth", BIRTH)):
        assert len(_said(journal, rest, message)) == 1
        assert _said(journal, rest, message, retained=True) == []
    assert _said(journal, "status", status("degraded", disk="full")) == [("status", "degraded (disk: full)")]
    assert _said(journal, "status", status("online")) == [("status", "online")]


def test_duplicates_are_dropped_and_counted() -> None:
    """An event is said once; how often it came again is said before the next one and at the end."""
    journal = Journal("latentline")
    assert [kind for kind, _ in _said(journal, "cam/top/defect", event("a", 1))] == ["defect"]
    assert _said(journal, "cam/top/defect", event("a", 1, replayed=True)) == []
    assert _said(journal, "cam/top/defect", event("a", 1, replayed=True)) == []
    said = _said(journal, "cam/top/defect", event("b", 2))
    assert said[0] == ("duplicates", "2 events came again and were dropped") and said[1][0] == "defect"
    assert _said(journal, "cam/top/defect", event("b", 2)) == []
    assert [entry.text for entry in journal.rest()] == ["1 event came again and were dropped"]
    assert (journal.events, journal.duplicates) == (2, 3)


def test_missing_events_are_noticed() -> None:
    """A gap in seq is said once, per station; an older event that comes late is no gap."""
    journal = Journal("latentline")
    kinds = [[kind for kind, _ in _said(journal, "cam/top/defect", event(str(seq), seq))] for seq in (4, 5, 8, 7, 9)]
    assert kinds == [["defect"], ["defect"], ["gap", "defect"], ["defect"], ["defect"]]
    other = Received("latentline/line-2/v1/cam/top/defect", json.dumps(event("x", 1)).encode())
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
    _said(journal, "status", status("stopped"))
    moment = 1000
    assert list(journal.silent()) == []


@pytest.mark.parametrize("heard", [False, True])
def test_that_nothing_comes_is_said(heard: bool) -> None:
    """A listener that hears nothing at all says once why that may be; one that hears anything does not."""
    moment = 0.0
    journal = Journal("latentline", lambda: moment)
    journal.begin()
    if heard:
        _said(journal, "status", status("online"))
    moment = 6
    assert len(list(journal.silent())) == (not heard)
    journal.begin()
    moment = 20
    assert list(journal.silent()) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_good = [status("online"), BIRTH, event("a", 1), HEALTH, {"at": AT, "ok": True, "verb": "x"}]


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

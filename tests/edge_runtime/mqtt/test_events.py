from __future__ import annotations

import copy
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.report import CameraReport
from edge_runtime.mqtt.events import Messages, State, encode, stamp, utc
from edge_runtime.mqtt.topics import Topics
from tests.edge_runtime.fakes import FakeInspector, validate

TOPICS = Topics("plant/quality", "line-1")


def _messages() -> dict[str, dict[str, Any]]:
    """One message of every kind, by its topic."""
    messages, inspector = Messages("line-1"), FakeInspector()
    frame = Frame(np.full((4, 6, 3), 200, np.uint8), datetime.now(timezone.utc), "top", "a.png", 0)
    inspection = inspector.inspect(frame.picture)
    report = CameraReport("stalled", "no frame for 5 s", 9, {"cut short": 1}, 2, 1, {"newer frame": 4}, 5.5)
    cameras = {"top": {"kind": "device", "source": "0", "every_frame": False}}
    dropped = {"count": 3, "bytes": 0, "age": 0}
    event = messages.defect(frame, inspection, inspector.identity, 1.5)
    return {
        TOPICS.status: messages.status("degraded", {"camera.top": "camera top is stalled"}, dropped),
        TOPICS.birth: messages.birth("0.1.0", inspector.identity, 100.0, cameras),
        TOPICS.camera_status("top"): messages.camera_status("top", report),
        TOPICS.result("top"): messages.result(frame, inspection, 1.5),
        TOPICS.defect("top"): json.loads(stamp(encode(event), 7, replayed=False)),
    }


def test_every_message_fits_its_schema() -> None:
    """Each kind of message validates against the schema of its topic."""
    for topic, body in _messages().items():
        validate(topic, body)


def test_schemas_are_strict() -> None:
    """The schemas reject a message with a field missing or a field too many."""
    for topic, body in _messages().items():
        for key in body.keys() - {"spool_damaged", "dead_letters", "commands"}:  # added later, so optional
            less = {name: value for name, value in body.items() if name != key}
            with pytest.raises(jsonschema.ValidationError):
                validate(topic, less)
        with pytest.raises(jsonschema.ValidationError):
            validate(topic, {**copy.deepcopy(body), "more": 1})


@pytest.mark.parametrize("state", ["starting", "online", "degraded", "stopped", "offline"])
def test_every_state_fits_the_schema(state: State) -> None:
    """The schema allows every state of the station."""
    dropped = {"count": 0, "bytes": 0, "age": 0}
    validate(TOPICS.status, Messages("line-1").status(state, {}, dropped))


@given(
    event=st.dictionaries(
        st.text(), st.integers() | st.text() | st.lists(st.floats(allow_nan=False, allow_infinity=False)), max_size=4
    )
)
def test_stamp_equals_a_new_encoding(event: dict[str, Any]) -> None:
    """`stamp` adds three keys to the JSON of any event."""
    found = json.loads(stamp(encode(event), 7, replayed=True))
    assert found.pop("published_at").endswith("Z")
    expected = {**event, "seq": 7, "replayed": True}
    expected.pop("published_at", None)
    assert found == expected


def test_times_are_utc_with_z() -> None:
    """A time in any zone is written in UTC, with milliseconds and Z."""
    there = timezone(timedelta(hours=2))
    assert utc(datetime(2026, 11, 5, 9, 30, 0, 125000, there)) == "2026-11-05T07:30:00.125Z"


def test_json_has_no_nan() -> None:
    """NaN raises ValueError, because it is not JSON."""
    with pytest.raises(ValueError):
        encode({"score": float("nan")})


def test_any_file_name_can_be_encoded() -> None:
    """A file name that is not valid Unicode (Linux allows any bytes) still gives a message in UTF-8."""
    source = b"caf\xe9.png".decode(errors="surrogateescape")
    assert json.loads(encode({"source": source})) == {"source": "caf?.png"}

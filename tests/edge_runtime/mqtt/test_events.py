from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any

import jsonschema
import numpy as np
import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.mqtt.events import Messages, encode, stamp, utc
from edge_runtime.mqtt.topics import Topics
from tests.edge_runtime.fakes import FakeInspector, validate

TOPICS = Topics("plant/quality", "line-1")


def _messages() -> dict[str, dict[str, Any]]:
    """One message of every kind, by its topic."""
    messages, inspector = Messages("line-1"), FakeInspector()
    frame = Frame(np.full((4, 6, 3), 200, np.uint8), datetime.now(timezone.utc), "top", "a.png", 0)
    inspection = inspector.inspect(frame.image)
    cameras = {"top": {"kind": "device", "source": "0", "every_frame": False}}
    event = messages.defect(frame, inspection, inspector.identity, 1.5)
    return {
        TOPICS.status: messages.status("degraded", {"camera": "camera top is stalled"}, 3),
        TOPICS.birth: messages.birth("0.1.0", inspector.identity, 100.0, cameras),
        TOPICS.camera_status("top"): messages.camera_status("top", "ok", None, {"frames": 1, "bad": 0, "dropped": 0}),
        TOPICS.result("top"): messages.result(frame, inspection, 1.5),
        TOPICS.defect("top"): stamp(event, 7, replayed=False),
    }


def test_every_message_fits_its_schema() -> None:
    """Each kind of message validates against the schema shipped for its topic."""
    for topic, body in _messages().items():
        validate(topic, body)


def test_schemas_are_strict() -> None:
    """A schema lets nothing pass that the station does not send: no field missing, none more."""
    for topic, body in _messages().items():
        for key in body:
            less = {name: value for name, value in body.items() if name != key}
            with pytest.raises(jsonschema.ValidationError):
                validate(topic, less)
        with pytest.raises(jsonschema.ValidationError):
            validate(topic, {**copy.deepcopy(body), "more": 1})


def test_times_are_utc_with_z() -> None:
    """A moment of any zone is written in UTC, with milliseconds and Z."""
    there = timezone(timedelta(hours=2))
    assert utc(datetime(2026, 11, 5, 9, 30, 0, 125000, there)) == "2026-11-05T07:30:00.125Z"


def test_json_has_no_nan() -> None:
    """NaN is refused instead of becoming something that is not JSON."""
    with pytest.raises(ValueError):
        encode({"score": float("nan")})

from __future__ import annotations

import copy
import json

import jsonschema
import pytest

from edge_runtime.mqtt.events import Messages, encode
from edge_runtime.station.health_message import health_message
from tests.edge_runtime.fakes import validate
from tests.edge_runtime.supervision.snapshots import snapshot

_TOPIC = "latentline/line-1/v1/health"


def test_message_fits_its_schema() -> None:
    """The message of a snapshot fits docs/mqtt/health.schema.json after it has gone through JSON."""
    body = json.loads(encode(health_message(Messages("line-1"), snapshot())))
    validate(_TOPIC, body)
    assert body["faults"] == ["broker"]
    assert [camera["id"] for camera in body["cameras"]] == ["side", "top"]
    assert body["events"] == {
        "written": 10,
        "lost": 11,
        "waiting": 12,
        "published": 16,
        "unheard": 17,
        "dead_letters": 23,
    }


def test_schema_is_strict() -> None:
    """The schema allows no missing and no extra field, in nested objects too."""
    body = health_message(Messages("line-1"), snapshot())
    places = [(), ("frames",), ("events",), ("spool",), ("process",), ("inspection_ms",), ("cameras", 0)]
    for place in places:
        for key in [
            *(_at(body, place).keys() - {"dead_letters", "damaged", "shadow"}),
            "more",
        ]:  # added later, so optional
            broken = copy.deepcopy(body)
            where = _at(broken, place)
            if key == "more":
                where[key] = 1
            else:
                del where[key]
            with pytest.raises(jsonschema.ValidationError):
                validate(_TOPIC, broken)


def _at(body: object, place: tuple[str | int, ...]) -> dict[str, object]:
    for key in place:
        body = body[key]  # type: ignore[index]
    assert isinstance(body, dict)
    return body

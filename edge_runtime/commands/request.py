"""A request as it may be: what a verb's payload holds, who asks, and where the answer goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ConfigDict, Field
from pydantic_core import from_json

from edge_runtime.commands.settings import Verb
from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.topics import Topics
from latentline.base.strict_yaml import StrictModel, parse
from latentline.errors import ConfigError, LatentlineError

_LONGEST_TOPIC = 256  # characters of a response topic
_LONGEST_CORRELATION = 128  # bytes
_LONGEST_NAME = 64  # characters of who asks


class CommandError(LatentlineError):
    """A command that is not carried out; the message goes to whoever asked."""


class Request(StrictModel):
    """What every payload may hold. No value is converted: "5" is not a number. `who`: the asker's own word."""

    model_config = ConfigDict(strict=True)

    who: str | None = Field(default=None, min_length=1, max_length=_LONGEST_NAME)


class CaptureRequest(Request):
    """Take a frame. `camera`: unset for every camera that can."""

    camera: str | None = Field(default=None, min_length=1, max_length=64)


class ThresholdRequest(Request):
    """Set the anomaly score above which a frame is abnormal."""

    value: float


class ModelRequest(Request):
    """Switch to the package `name`; it is not taken when `sha256` is given and is not its hash."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")


_REQUESTS: dict[str, type[Request]] = dict.fromkeys(get_args(Verb), Request) | {
    "capture": CaptureRequest,
    "threshold": ThresholdRequest,
    "model": ModelRequest,
}


@dataclass(frozen=True)
class Return:
    """Where an answer goes, and what it carries so that the asker knows its question."""

    topic: str
    correlation: bytes | None


def return_of(item: Received, topics: Topics) -> Return:
    """Where to answer. Raises CommandError when the request names no place that this station would write to.

    Under the root of all stations that is `…/response/…` of this one alone: nobody makes it say something in its own
    or another station's name, or give a command.
    """
    topic = item.response_topic
    if not topic:
        raise CommandError("it names no response topic")
    own, root = f"{topics.responses}/", f"{topics.root}/"
    odd = len(topic) > _LONGEST_TOPIC or topic[0] in "$/" or not topic.isprintable() or set(topic) & set("+#")
    if odd or (f"{topic}/".startswith(root) and not (topic.startswith(own) and len(topic) > len(own))):
        raise CommandError(f"its response topic is not {topics.responses}/… or a plain one outside {topics.root}/")
    correlation = item.correlation
    return Return(topic, correlation if correlation and len(correlation) <= _LONGEST_CORRELATION else None)


def parse_request(verb: str, payload: bytes) -> Request:
    """The payload of `verb`, JSON; no payload is an empty object. Raises CommandError that says what is wrong."""
    try:
        data: Any = from_json(payload or b"{}", allow_inf_nan=False)
    except ValueError as error:
        raise CommandError(f"the payload is not JSON ({error})") from None
    if not isinstance(data, dict):
        raise CommandError("the payload is not a JSON object")
    try:
        return parse(data, _REQUESTS[verb], "the payload")
    except ConfigError as error:
        raise CommandError(str(error)) from None


def who_asks(item: Received, request: Request) -> str:
    """The user property `who`, else the payload's, else "unknown"; printable, for a log. It is a claim, not a proof."""
    claimed = next((value for name, value in item.user_properties if name == "who"), request.who or "")
    return "".join(filter(str.isprintable, claimed))[:_LONGEST_NAME].strip() or "unknown"

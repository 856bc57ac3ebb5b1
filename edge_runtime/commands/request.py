"""A command's request: its payload, its requester, and where its answer goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, Field
from pydantic_core import from_json

from edge_runtime.commands.settings import Verb
from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.topics import Topics
from edge_runtime.spelling import SHA256, spelled
from latentline.base.strict_yaml import StrictModel, parse
from latentline.errors import ConfigError, LatentlineError

_MAX_TOPIC_LENGTH = 256  # characters of a response topic
_MAX_CORRELATION_BYTES = 128
_MAX_REQUESTER_LENGTH = 64  # characters
_PACKAGE_NAME = "the name of a package, of up to 100 letters from A to Z, digits, _ . or -, without blanks"
_ZIP_NAME = f"{_PACKAGE_NAME}, that ends with .zip"


class CommandError(LatentlineError):
    """The station did not carry out a command. The message becomes the `error` of the answer."""


class Request(StrictModel):
    """What every payload may hold. No value is converted: "5" is not a number. who: the requester's name for itself."""

    model_config = ConfigDict(strict=True)

    who: str | None = Field(default=None, min_length=1, max_length=_MAX_REQUESTER_LENGTH)


class CaptureRequest(Request):
    """Take a frame. camera: an id; None: every camera with `trigger: command`."""

    camera: str | None = Field(default=None, min_length=1, max_length=64)


class ThresholdRequest(Request):
    """Set the anomaly score above which a frame is abnormal."""

    value: float


class ModelRequest(Request):
    """Switch to the package `name`. sha256: the hash that it must have; None: any."""

    name: Annotated[str, spelled(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", _PACKAGE_NAME)]
    sha256: Annotated[str, SHA256] | None = None


class RevertRequest(Request):
    """Go back to the model that ran before the last switch. sha256: the hash that it must have; None: any."""

    sha256: Annotated[str, SHA256] | None = None


class FetchRequest(Request):
    """Fetch the package `name`, a .zip of this sha256, into commands.models."""

    name: Annotated[str, spelled(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}\.zip", _ZIP_NAME)]
    sha256: Annotated[str, SHA256]


_REQUESTS: dict[str, type[Request]] = dict.fromkeys(get_args(Verb), Request) | {
    "capture": CaptureRequest,
    "threshold": ThresholdRequest,
    "model": ModelRequest,
    "revert": RevertRequest,
    "fetch": FetchRequest,
}


@dataclass(frozen=True)
class ReplyAddress:
    """Topic and correlation data of an answer."""

    topic: str
    correlation: bytes | None


def reply_address(item: Received, topics: Topics) -> ReplyAddress:
    """Where to send the answer. Raises CommandError when this station must not publish there.

    Below the root of all stations only `…/response/…` of this station is allowed. So no request makes it publish a
    status or an event of its own or of another station, or a command.
    """
    topic = item.response_topic
    if not topic:
        raise CommandError("it has no response topic")
    own, root = f"{topics.responses}/", f"{topics.root}/"
    invalid = len(topic) > _MAX_TOPIC_LENGTH or topic[0] in "$/" or not topic.isprintable() or set(topic) & set("+#")
    if invalid or (f"{topic}/".startswith(root) and not (topic.startswith(own) and len(topic) > len(own))):
        raise CommandError(
            f"its response topic is neither below {topics.responses}/ nor a plain topic outside {topics.root}/"
        )
    correlation = item.correlation
    return ReplyAddress(topic, correlation if correlation and len(correlation) <= _MAX_CORRELATION_BYTES else None)


def parse_request(verb: str, payload: bytes) -> Request:
    """Parse the JSON payload of `verb`; an empty payload is an empty object. Raises CommandError."""
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


def requester_of(item: Received, request: Request) -> str:
    """The user property `who`, else that of the payload, else "unknown"; printable. It is a claim, not a proof."""
    claimed = next((value for name, value in item.user_properties if name == "who"), request.who or "")
    return "".join(filter(str.isprintable, claimed))[:_MAX_REQUESTER_LENGTH].strip() or "unknown"

"""One entry of a listener's output, as a line for people or as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.mqtt.events import now
from latentline.base.secrets import mask_credentials
from latentline.printable import printable


@dataclass(frozen=True)
class Entry:
    """A message of a station, or an event of the listener itself (then `station` and `topic` are empty).

    kind     status | birth | camera | defect | picture | response | health: a message of that kind; gap | duplicates |
             silent | unreadable: what the listener noticed; connection | end: about the listener itself
    text     for people
    time     UTC; default: now
    message  as the station sent it; of a picture, its user properties and its size
    """

    kind: str
    text: str
    station: str = ""
    topic: str = ""
    time: str = field(default_factory=now)
    message: dict[str, Any] | None = None

    def line(self) -> str:
        """One printable line: text from outside can neither break it nor control a terminal."""
        line = f"{self.time}  {self.station or '-':12}  {self.kind:10}  {self.text}"
        return printable(mask_credentials(line))

    def json(self) -> str:
        """One JSON object in ASCII."""
        known = {"time": self.time, "kind": self.kind, "station": self.station or None, "text": self.text}
        rest = {"topic": self.topic or None, "message": self.message}
        return json.dumps(_masked({**known, **rest}), allow_nan=False)


def _masked(value: Any) -> Any:
    """`value`, as JSON gives it, with `mask_credentials` of each text in it."""
    if isinstance(value, str):
        return mask_credentials(value)
    if isinstance(value, dict):
        return {mask_credentials(name): _masked(inner) for name, inner in value.items()}
    return [_masked(inner) for inner in value] if isinstance(value, list) else value

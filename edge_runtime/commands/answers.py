"""Answers, and which of them were given lately: a request that comes again is answered again, not run again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from edge_runtime.commands.request import CommandError, Return
from edge_runtime.mqtt.events import SCHEMA_VERSION, encode, now

_LONGEST_SENTENCE = 500  # characters

Fingerprint = tuple[str, bytes]  # verb, payload


def succeeded(station: str, verb: str, result: Mapping[str, Any]) -> bytes:
    """The answer to a command that was carried out. Raises ValueError or TypeError when `result` is not JSON."""
    return encode({**_head(station, verb), "ok": True, "result": dict(result)})


def failed(station: str, verb: str, sentence: str) -> bytes:
    """The answer to one that was not: nothing has changed."""
    return encode({**_head(station, verb), "ok": False, "error": sentence[:_LONGEST_SENTENCE]})


def _head(station: str, verb: str) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "station": station, "at": now(), "verb": verb}


class Answered:
    """The newest `capacity` commands that were begun, by their return address, with the answers of those that ended."""

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Return, tuple[Fingerprint, bytes | None]] = OrderedDict()

    def begin(self, where: Return, fingerprint: Fingerprint) -> None:
        """A command is run from now on."""
        self._known[where] = (fingerprint, None)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    def end(self, where: Return, answer: bytes) -> None:
        """It has its answer."""
        known = self._known.get(where)
        if known is not None:
            self._known[where] = (known[0], answer)

    def known(self, where: Return, fingerprint: Fingerprint) -> bool:
        """Whether this command was begun before. Raises CommandError when another one had its correlation data."""
        known = self._known.get(where)
        if known is not None and known[0] != fingerprint:
            raise CommandError("its correlation data was used for another request; every request needs its own")
        return known is not None

    def answer(self, where: Return) -> bytes | None:
        """The answer, None while the command is still run."""
        return self._known[where][1]

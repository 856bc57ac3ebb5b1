"""Answers to commands, and a cache of the newest: a repeated request is answered again but not run again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from edge_runtime.commands.request import CommandError, ReplyAddress
from edge_runtime.mqtt.events import SCHEMA_VERSION, encode, now

_MAX_ERROR_LENGTH = 500  # characters

Fingerprint = tuple[str, bytes]  # verb, payload


def succeeded(station: str, verb: str, result: Mapping[str, Any]) -> bytes:
    """The answer to a command that succeeded. Raises ValueError or TypeError when `result` cannot be JSON."""
    return encode({**_head(station, verb), "ok": True, "result": dict(result)})


def failed(station: str, verb: str, sentence: str) -> bytes:
    """The answer to a command that failed or was refused: nothing has changed."""
    return encode({**_head(station, verb), "ok": False, "error": sentence[:_MAX_ERROR_LENGTH]})


def _head(station: str, verb: str) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "station": station, "at": now(), "verb": verb}


class AnswerCache:
    """The newest `capacity` commands by reply address, and the answers of those that have finished."""

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[ReplyAddress, tuple[Fingerprint, bytes | None]] = OrderedDict()

    def add(self, address: ReplyAddress, fingerprint: Fingerprint) -> None:
        """Add a command that starts to run."""
        self._entries[address] = (fingerprint, None)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def set_answer(self, address: ReplyAddress, answer: bytes) -> None:
        """Keep the answer of a command that has finished."""
        entry = self._entries.get(address)
        if entry is not None:
            self._entries[address] = (entry[0], answer)

    def contains(self, address: ReplyAddress, fingerprint: Fingerprint) -> bool:
        """Whether this command was added before. Raises CommandError when another one used its correlation data."""
        entry = self._entries.get(address)
        if entry is not None and entry[0] != fingerprint:
            raise CommandError("its correlation data was used for another request; every request needs its own")
        return entry is not None

    def answer(self, address: ReplyAddress) -> bytes | None:
        """The answer; None while the command is running."""
        return self._entries[address][1]

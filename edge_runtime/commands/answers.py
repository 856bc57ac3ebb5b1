"""Answers to commands, and a memory of them: a repeated request is answered again but not carried out again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.commands.answered_file import AnsweredFile
from edge_runtime.commands.request import CommandError, ReplyAddress
from edge_runtime.mqtt.events import SCHEMA_VERSION, encode, now

WINDOW_SECONDS = 600.0  # docs/mqtt.md names it
_MOST_ANSWER_BYTES = 8 << 20  # of answers that are kept; of older ones only that they were given
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


@dataclass
class _Known:
    """A command. fingerprint: digest of verb and payload; at: of the clock, when it was answered, else began."""

    fingerprint: str
    at: float
    running: bool = True
    answer: bytes | None = None  # also None once it is forgotten


class AnswerCache:
    """The commands of the last WINDOW_SECONDS, however many they are, and those that are running.

    clock  seconds, monotonic
    file   keeps them over a restart of the station, without their answers; None: nothing does
    """

    def __init__(self, clock: Callable[[], float], file: AnsweredFile | None = None) -> None:
        self._clock, self._file = clock, file
        self._known: OrderedDict[str, _Known] = OrderedDict()  # by digest of the reply address, oldest first
        self._answered: OrderedDict[str, int] = OrderedDict()  # those whose answers are kept, and their bytes
        for address, fingerprint, age in file.load(WINDOW_SECONDS) if file is not None else ():
            self._known[address] = _Known(fingerprint, clock() - age, running=False)

    def add(self, address: ReplyAddress, fingerprint: Fingerprint) -> None:
        """Add a command that starts to run."""
        self._forget_old()
        key, digest = _address(address), _fingerprint(fingerprint)
        self._known[key] = _Known(digest, self._clock())
        if self._file is not None:
            self._file.add(key, digest, WINDOW_SECONDS)

    def set_answer(self, address: ReplyAddress, answer: bytes) -> None:
        """Keep the answer of a command that has finished."""
        key = _address(address)
        known = self._known.get(key)
        if known is None:
            return
        known.answer, known.at, known.running = answer, self._clock(), False
        self._known.move_to_end(key)
        self._answered[key] = len(answer)
        while sum(self._answered.values()) > _MOST_ANSWER_BYTES:
            oldest, _ = self._answered.popitem(last=False)
            self._known[oldest].answer = None

    def contains(self, address: ReplyAddress, fingerprint: Fingerprint) -> bool:
        """Whether this command was added before.

        Raises CommandError when another one used its correlation data, or when its answer is not kept any more.
        """
        self._forget_old()
        known = self._known.get(_address(address))
        if known is None:
            return False
        if known.fingerprint != _fingerprint(fingerprint):
            raise CommandError("its correlation data was used for another request; every request needs its own")
        if not known.running and known.answer is None:
            raise CommandError("it was carried out before and is not repeated; its answer is not kept any more")
        return True

    def answer(self, address: ReplyAddress) -> bytes | None:
        """The answer; None while the command is running."""
        return self._known[_address(address)].answer

    def _forget_old(self) -> None:
        limit = self._clock() - WINDOW_SECONDS
        for key in [key for key, known in self._known.items() if known.at < limit and not known.running]:
            del self._known[key]
            self._answered.pop(key, None)


def _address(address: ReplyAddress) -> str:
    return _digest(address.topic.encode(errors="surrogatepass"), address.correlation or b"")


def _fingerprint(fingerprint: Fingerprint) -> str:
    return _digest(fingerprint[0].encode(errors="surrogatepass"), fingerprint[1])


def _digest(first: bytes, second: bytes) -> str:
    return hashlib.sha256(b"%d:" % len(first) + first + second).hexdigest()

"""Reads the wire format of protobuf, one message at a time, without copying."""

from __future__ import annotations

from collections.abc import Iterator


class MalformedMessageError(Exception):
    """The bytes are not a protobuf message."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field: an int of a varint, the bytes of everything else. Raises MalformedMessageError."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        kind = key & 7
        if kind == 0:
            number, position = _varint(message, position)
            yield key >> 3, number
            continue
        if kind == 2:
            size, position = _varint(message, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise MalformedMessageError
        if size > end - position:
            raise MalformedMessageError
        yield key >> 3, message[position : position + size]
        position += size


def varints(packed: memoryview) -> list[int]:
    """The numbers of a packed field, without sign. Raises MalformedMessageError."""
    numbers, position = [], 0
    while position < len(packed):
        number, position = _varint(packed, position)
        numbers.append(number)
    return numbers


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise MalformedMessageError
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7

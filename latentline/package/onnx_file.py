"""Checks an ONNX graph as bytes, before any runtime sees it: all of it is in the package, and as large as it says.

A runtime would read weights from any file that a graph names, and allocate whatever it declares. So this walks the
protobuf messages itself, and allocates nothing. Numbers are those of the fields in onnx.proto3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from latentline.errors import PackageError
from latentline.package.protobuf import MalformedMessageError, fields, varints

ELEMENT_LIMIT = 1 << 28  # numbers in a tensor that a graph brings or makes of a shape: 1 GiB of float32
_DEPTH = 32  # of messages in messages
_CHILDREN = {  # message -> field -> the message in it
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
}
_DIMS, _TYPE, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14  # of a tensor
_INPUT, _OUTPUT, _OPERATOR = 1, 2, 4  # of a node
_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}  # of a number, by type
_INT64 = 7
_FIXED, _VARIABLE = {4: 4, 10: 8}, (5, 7, 11)  # fields with numbers of so many bytes, and with varints
_LONGEST_SHAPE = 8
_GROWING = frozenset({"ConstantOfShape", "Expand", "Tile", "Resize", "Upsample", "Pad"})  # to a shape that is an input
_REFUSED = frozenset(
    {"Loop", "Scan", "SequenceMap", "Range", "RandomNormal", "RandomUniform", "Bernoulli", "Multinomial"}
    | {"RandomNormalLike", "RandomUniformLike"}
)


def check_graph(content: bytes, source: str) -> None:
    """Raise PackageError, naming `source`, for a graph that is not whole in itself, or declares more than it brings.

    Refused: tensors in other files; tensors whose data is not as large as their shape; shapes of more than
    ELEMENT_LIMIT numbers; and operators that no export uses and that make tensors of any size.
    """
    walk = _Walk(source)
    try:
        walk.visit(memoryview(content), "model", 0)
    except MalformedMessageError:
        raise PackageError(f"{source}: not an ONNX graph; export the package again") from None
    for operator, shape_name in walk.grown:
        shape = walk.shapes.get(shape_name, [])
        if math.prod(max(1, number) for number in shape) > ELEMENT_LIMIT:
            raise PackageError(f"{source}: {operator} makes a tensor of the shape {shape}; do not use this file")


@dataclass
class _Walk:
    """What was seen on the way. shapes: small whole-number tensors by name; grown: operators with each input's name."""

    source: str
    shapes: dict[bytes, list[int]] = field(default_factory=dict)
    grown: list[tuple[str, bytes]] = field(default_factory=list)

    def visit(self, message: memoryview, kind: str, depth: int, name: bytes = b"") -> None:
        """Check a message and all in it. name: of the value that a constant's node gives."""
        if depth > _DEPTH:
            raise MalformedMessageError
        if kind == "sparse":
            raise PackageError(f"{self.source}: holds a sparse tensor, which no export writes; do not use this file")
        if kind == "tensor":
            self._tensor(message, name)
            return
        if kind == "node":
            name = self._node(message)
        for number, value in fields(message):
            child = _CHILDREN[kind].get(number)
            if child is not None and isinstance(value, memoryview):
                self.visit(value, child, depth + 1, name if kind in ("node", "attribute") else b"")

    def _node(self, message: memoryview) -> bytes:
        """Note a node's operator; returns the name of its last output."""
        texts: dict[int, list[bytes]] = {}
        for number, value in fields(message):
            if isinstance(value, memoryview) and number in (_INPUT, _OUTPUT, _OPERATOR):
                texts.setdefault(number, []).append(bytes(value))
        operator = b"".join(texts.get(_OPERATOR, [])[-1:]).decode(errors="replace")
        if operator in _REFUSED:
            raise PackageError(f"{self.source}: uses {operator}, which no export does; do not use this file")
        if operator in _GROWING:
            self.grown += [(operator, name) for name in texts.get(_INPUT, [])]
        return b"".join(texts.get(_OUTPUT, [])[-1:])

    def _tensor(self, message: memoryview, name: bytes) -> None:
        dims: list[int] = []
        kind, count, parts = 0, 0.0, list(fields(message))
        for number, value in parts:
            if number == _EXTERNAL or (number == _LOCATION and value):
                raise PackageError(
                    f"{self.source}: takes weights from another file, and a package holds all of its own; "
                    "do not use this file"
                )
            if number == _DIMS:
                dims += varints(value) if isinstance(value, memoryview) else [value]
            elif number == _TYPE and isinstance(value, int):
                kind = value
            elif number == _NAME and isinstance(value, memoryview):
                name = bytes(value)
        for number, value in parts:
            count += _numbers(number, value, kind)
            if kind == _INT64 and isinstance(value, memoryview) and len(value) <= 10 * _LONGEST_SHAPE:
                self.shapes |= {name: _small(number, value)} if number in (_RAW, 7) else {}
        if kind not in _BYTES or math.prod(dims) != count or count > ELEMENT_LIMIT:
            raise PackageError(
                f"{self.source}: a tensor of type {kind} has the shape {dims[:8]} and {count:g} numbers, which does "
                "not fit; export the package again"
            )


def _numbers(number: int, value: int | memoryview, kind: int) -> float:
    """How many numbers of a tensor a field holds."""
    if number == _RAW and isinstance(value, memoryview):
        return len(value) / _BYTES.get(kind, 1)
    if number in _FIXED:
        return len(value) / _FIXED[number] if isinstance(value, memoryview) else 1
    if number in _VARIABLE:
        return int((np.frombuffer(value, np.uint8) < 0x80).sum()) if isinstance(value, memoryview) else 1
    return 0


def _small(number: int, value: memoryview) -> list[int]:
    if number == _RAW:
        return [int(item) for item in np.frombuffer(value[: len(value) // 8 * 8], "<i8")]
    return [item - (1 << 64) if item >> 63 else item for item in varints(value)]

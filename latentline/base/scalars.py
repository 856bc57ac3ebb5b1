"""Numbers are numbers and booleans are booleans: pydantic alone would take "5", `true` and 1 for each other."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin


class Unfit:
    """In place of a value that is not of the kind that its type wants: pydantic refuses it, and shows the value."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return repr(self._value)


def scalar(expected: Any, value: Any) -> Any:
    """`value`, or `Unfit` in its place where it is no number or no boolean and the type `expected` wants one.

    Also looks into lists and mappings of numbers or booleans.
    """
    kinds = _kinds(expected)
    if kinds <= {int, float, NoneType}:
        return Unfit(value) if isinstance(value, (bool, str)) else value
    if kinds <= {bool, NoneType}:
        return value if value is None or isinstance(value, bool) else Unfit(value)
    for inner in _item_types(expected):
        if isinstance(value, dict):
            return {key: scalar(inner, item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(scalar(inner, item) for item in value)
    return value


def _kinds(expected: Any) -> set[Any]:
    """The classes in a type or union; what is no class and no union stays as it is."""
    if get_origin(expected) is Annotated:
        return _kinds(get_args(expected)[0])
    if get_origin(expected) is Literal:
        return {type(value) for value in get_args(expected)}
    if isinstance(expected, type) and get_origin(expected) is None:
        return {expected}
    if get_origin(expected) in (tuple, list, dict) or not get_args(expected):
        return {expected}
    return {kind for part in get_args(expected) for kind in _kinds(part)}


def _item_types(expected: Any) -> list[Any]:
    """The types of the items, where `expected`, or one branch of it, is a list or mapping of one type."""
    found = []
    for kind in _kinds(expected):
        arguments = [part for part in get_args(kind) if part is not ...]
        if get_origin(kind) is dict:
            found.append(arguments[1])
        elif get_origin(kind) in (tuple, list) and len(set(arguments)) == 1:
            found.append(arguments[0])
    return found if len(found) == 1 else []

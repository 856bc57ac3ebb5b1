"""Faults of settings and of YAML in words that need no knowledge of either library."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

_SECTIONS = ("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type")
_NUMBERS = ("int_type", "float_type", "int_parsing", "float_parsing")
_CONTROL = re.compile(r"unacceptable character #x([0-9a-f]+)")
_WRITTEN_NUMBER = re.compile(r"'\s*[-+]?\d[\d_.,\s]*%?\s*'")  # the repr of a text


def fault_in_words(fault: Mapping[str, Any]) -> str:
    """What is wrong with a value, by pydantic's description of it."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "union_tag_invalid":
        return f"there is no {context['discriminator']} {str(context['tag'])!r}{_choice(context)}"
    if kind == "union_tag_not_found":
        return f"the key {context['discriminator']} is missing, which says what it is"
    if kind in _SECTIONS:
        return "expected a section, with keys and values of its own"
    if kind in ("tuple_type", "list_type"):
        return "expected a list, such as [a, b]"
    if kind == "string_type" and isinstance(fault["input"], (int, float)):
        return "expected a text; write it in quotes"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if kind in _NUMBERS and _WRITTEN_NUMBER.fullmatch(repr(fault["input"])):
        message += ", written without quotes, spaces, commas, _ or %"
    return message[:1].lower() + message[1:]


def yaml_in_words(problem: str) -> str:
    """What is wrong with a YAML text, by PyYAML's description of it."""
    if "'\\t'" in problem:
        return "a tab, which YAML does not take; indent with spaces"
    if "escape" in problem:
        return "a backslash within double quotes; use single quotes, or / in paths"
    if control := _CONTROL.search(problem):
        code = int(control[1], 16)
        return f"the control character {code}; remove it" if code else "zero bytes, as in UTF-16; save it as UTF-8"
    return problem


def _choice(context: Mapping[str, Any]) -> str:
    valid = re.findall(r"'([^']*)'", str(context["expected_tags"]))
    given = str(context["tag"]).casefold().replace("-", "_")
    near = difflib.get_close_matches(given, valid, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else f"; give one of {', '.join(valid)}"

"""Types of command-line arguments. A wrong number becomes one sentence of argparse, and exit code 2."""

from __future__ import annotations

import argparse
import math
from datetime import date
from typing import Literal


def rate(text: str) -> float:
    """A number between 0 and 1, both excluded."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and 1")
    return value


def fraction(text: str) -> float:
    """A number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to below 1")
    return value


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return value


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number, 0 or more")
    return int(text)


def at_least_one(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number, 1 or more")
    return int(text)


def count_or_auto(text: str) -> int | Literal["auto"]:
    """A whole number, 0 or more, or the word auto."""
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number, 0 or more, and not auto")
    return "auto" if text == "auto" else int(text)


def frame_size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in px, at least 16 x 16."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) >= 16 and int(height) >= 16):
        raise argparse.ArgumentTypeError(f"'{text}' is not WIDTHxHEIGHT, of 16 px or more each")
    return int(width), int(height)


def milliseconds(text: str) -> float:
    """A duration above 0 with its unit, such as 50ms or 0.2s, in milliseconds."""
    for unit, factor in (("ms", 1.0), ("s", 1e3)):
        if text.endswith(unit):
            try:
                return factor * positive(text[: -len(unit)])
            except argparse.ArgumentTypeError:
                break
    raise argparse.ArgumentTypeError(f"'{text}' is not a duration such as 50ms or 0.2s")


def day(text: str) -> str:
    """A day that exists, YYYY-MM-DD."""
    try:
        given = date.fromisoformat(text)
    except ValueError:
        given = None
    if given is None or given.isoformat() != text:
        raise argparse.ArgumentTypeError(f"'{text}' is not a day such as 2026-11-28")
    return text


def searched_tiles(text: str) -> int | Literal["all", "auto"]:
    """A whole number, 1 or more, or one of the words all and auto."""
    if text in ("all", "auto"):
        return "all" if text == "all" else "auto"
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number, 1 or more, and neither all nor auto")
    return int(text)

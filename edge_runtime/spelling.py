"""Texts of settings that may hold some characters only, refused in words: nobody should have to read an expression."""

from __future__ import annotations

import re

from pydantic import AfterValidator


def spelled(expression: str, words: str) -> AfterValidator:
    """A check for `Annotated[str, …]`: the whole text must match `expression`.

    words  what a text must be, after "expected"; the fault says it in place of the expression
    """
    compiled = re.compile(expression)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"expected {words}")
        return text

    return AfterValidator(check)


# A level of an MQTT topic: no slash, wildcard or blank.
TOPIC_LEVEL = spelled(r"[A-Za-z0-9_.-]{1,64}", "1 to 64 letters from A to Z, digits, _ . or -, without blanks")
SHA256 = spelled(r"[0-9a-f]{64}", "a SHA-256: 64 digits from 0 to 9 and a to f")

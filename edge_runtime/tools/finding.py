"""One line of what `check` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the result.

    subject  config | spool | model | self-test | camera | broker | topics | commands
    message  what was found, or what is wrong
    warning  it works, and somebody should know this
    """

    subject: str
    ok: bool
    message: str
    warning: bool = False

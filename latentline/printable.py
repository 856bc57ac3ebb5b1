"""Text from outside, such as the name of a file, can neither forge a line nor control a terminal."""

from __future__ import annotations

import logging


def printable(text: str) -> str:
    """`text` on one line, with each character that is not printable as an escape such as \\n or \\x1b."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class PrintableFormatter(logging.Formatter):
    """A `logging.Formatter` whose messages are `printable`; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's name
        """The line of a record, without its traceback."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # logging's name
        """A traceback, with each of its lines printable."""
        return "\n".join(map(printable, super().formatException(ei).split("\n")))  # type: ignore[arg-type]

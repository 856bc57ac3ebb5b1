"""The parser of a command line: its version, and options that may stand between its places."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from latentline.base.version import software_version


class CommandParser(argparse.ArgumentParser):
    """A command whose options may stand anywhere, also before a place that may be left out: `fit FILE --data D RUN`."""

    _intermixed = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse has it, which calls this again for the options and for the places."""
        if self._intermixed:
            return super().parse_known_args(args, namespace)
        self._intermixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixed = False


def add_version(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option --version."""
    parser.add_argument("--version", action="version", version=f"latentline {software_version()}")

"""CPU threads of a command: how many, and how they wait for each other."""

from __future__ import annotations

import argparse
import os

from latentline.base.arguments import at_least_one


def wait_without_spinning() -> None:
    """Let the threads of OpenMP sleep while they wait; a value that the user set stays.

    They spin by default, and then a process beside them that takes one core makes them several times slower than one
    thread. Call it before PyTorch, scikit-learn or anything else loads OpenMP, which reads the environment once.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def add_threads(parser: argparse.ArgumentParser, *commands: argparse.ArgumentParser) -> None:
    """Give `parser` and its `commands` the option --threads: it may stand before or after the command."""
    for place, default in ((parser, None), *((command, argparse.SUPPRESS) for command in commands)):
        place.add_argument("--threads", type=at_least_one, default=default, help="CPU threads (default: all cores)")

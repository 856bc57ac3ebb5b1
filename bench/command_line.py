"""What the command lines of all benches share."""

from __future__ import annotations

import argparse
import sys


def bench_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help shows the docstring `doc` as it is, and the command as a user types it."""
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog=" ".join(["python", *program()]), description=doc, formatter_class=formatter)


def program() -> list[str]:
    """What Python was told to run: `-m MODULE`, or a file."""
    spec = sys.modules["__main__"].__spec__
    return [sys.argv[0]] if spec is None else ["-m", spec.name.removesuffix(".__main__")]

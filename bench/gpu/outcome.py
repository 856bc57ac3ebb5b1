"""What a check found, and the line that its report has of it."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

TRACE = 2000  # characters of a traceback that a report keeps


@dataclass(frozen=True)
class Outcome:
    """found: figures by name, for JSON. failures: what should not have been, a sentence each."""

    found: dict[str, object]
    failures: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Line:
    """A check in the report."""

    check: str
    passed: bool
    seconds: float
    failures: Sequence[str]
    found: dict[str, object]

    def __str__(self) -> str:
        said = "; ".join(self.failures) or json.dumps(self.found)
        return f"{'ok  ' if self.passed else 'FAIL'} {self.check} {self.seconds} s: {said[:600]}"

    def append_to(self, path: Path) -> None:
        """Add it to a file of JSON lines."""
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self)) + "\n")


def run(name: str, check: Callable[[], Outcome]) -> Line:
    """Run a check; whatever it raises is a failure of it, not of the ones that follow."""
    start = time.perf_counter()
    try:
        outcome = check()
    except Exception as error:
        trace = traceback.format_exc()[-TRACE:]
        outcome = Outcome({"trace": trace}, [f"{type(error).__name__}: {error}"])
    seconds = round(time.perf_counter() - start, 1)
    return Line(name, not outcome.failures, seconds, tuple(outcome.failures), outcome.found)

"""Guards of disk and memory: report that they run out before events are lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

_MIB = 1 << 20
_DEFAULT_SHARE = 0.75  # of the available memory
_END_FACTOR = 1.2  # times the limit: the station ends, before the kernel picks a process to kill
_END_CHECKS = 3  # in a row, so that a short peak does not end the station
_HYSTERESIS = 0.1  # of the limit: how far the value must return before the fault is over


class DiskGuard:
    """Watches the free space of the file system of `folder`. limit: MiB; 0 switches it off. Fault `disk.space`."""

    def __init__(self, folder: Path, limit: int, free_bytes: Callable[[Path], int] | None = None) -> None:
        self.folder, self._limit = folder, limit
        self._free_bytes = free_bytes or (lambda path: shutil.disk_usage(path).free)
        self._low = False

    def check(self) -> str | None:
        """The sentence of the fault; None when there is enough space. Hangs as long as the disk does."""
        if not self._limit:
            return None
        try:
            free = self._free_bytes(self.folder) / _MIB
        except OSError as error:
            return f"the free space under {self.folder} cannot be read ({error.strerror})"
        self._low = free < self._limit * (1 + _HYSTERESIS if self._low else 1)
        if not self._low:
            return None
        return f"less than {self._limit} MiB are free under {self.folder}: delete something before events are lost"


class MemoryGuard:
    """Watches the resident memory of this process. limit: MiB; 0 switches it off. Fault `memory`.

    exhausted  called once with a sentence, after three checks in a row above 1.2 times the limit
    """

    def __init__(self, limit: int, exhausted: Callable[[str], None]) -> None:
        self._limit, self._exhausted = limit, exhausted
        self._high = False
        self._checks_above = 0

    def check(self, rss_bytes: int) -> str | None:
        """The sentence of the fault; None below the limit."""
        if not self._limit:
            return None
        used = rss_bytes / _MIB
        self._checks_above = self._checks_above + 1 if used > _END_FACTOR * self._limit else 0
        if self._checks_above == _END_CHECKS:
            sentence = (
                f"the station uses {used:.0f} MiB of memory, far more than {self._limit} MiB: it ends to be restarted"
            )
            self._exhausted(sentence)
        self._high = used > self._limit * (1 - _HYSTERESIS if self._high else 1)
        # Without the current value: the station publishes each change of the sentence.
        return f"the station uses more than {self._limit} MiB of memory" if self._high else None


def memory_limit(mib: int | None, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """`mib`; when None, three quarters of the memory of the machine or the control group; 0 when unknown."""
    if mib is not None:
        return mib
    totals = [_total(proc), *_cgroup_limits(proc, cgroup)]
    return int(_DEFAULT_SHARE * min((value for value in totals if value), default=0) / _MIB)


def _total(proc: Path) -> int:
    try:
        line = next(line for line in (proc / "meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
        return 1024 * int(line.split()[1])
    except (OSError, StopIteration, ValueError, IndexError):
        return 0


def _cgroup_limits(proc: Path, cgroup: Path) -> list[int]:
    """`memory.max` of this process's control group (version 2) and of its parents."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    limits = []
    for group in (Path(own), *Path(own).parents):
        try:
            limits.append(int((cgroup / str(group).lstrip("/") / "memory.max").read_text()))
        except (OSError, ValueError):  # "max", or no such file
            continue
    return limits

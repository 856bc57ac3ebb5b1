"""Disk and memory: say that they run out before it hurts."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from latentline.errors import LatentlineError

_log = logging.getLogger(__name__)
_MIB = 1 << 20
_DEFAULT_SHARE = 0.75  # of the memory there is
_FAR = 1.2  # times the limit: the station ends, before the kernel picks a process to kill
_FAR_CHECKS = 3  # in a row, so that a short peak is forgiven
_BACK = 0.1  # a fault is over when the value is back by a tenth of the limit: no flapping


class MemoryExhaustedError(LatentlineError):
    """The station ended because it used far too much memory; whoever supervises it starts it afresh."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again


class DiskGuard:
    """Free space of the file system that holds `folder`; limit in MiB, 0: not watched. The fault is `disk.space`."""

    def __init__(self, folder: Path, limit: int, free_bytes: Callable[[Path], int] | None = None) -> None:
        self._folder, self._limit = folder, limit
        self._free_bytes = free_bytes or (lambda path: shutil.disk_usage(path).free)
        self._low = False

    def check(self) -> str | None:
        """The sentence of the fault, or None when there is room."""
        if not self._limit:
            return None
        try:
            free = self._free_bytes(self._folder) / _MIB
        except OSError as error:
            return f"the free space under {self._folder} cannot be read ({error.strerror})"
        self._low = free < self._limit * (1 + _BACK if self._low else 1)
        if not self._low:
            return None
        return f"less than {self._limit} MiB are free under {self._folder}: delete something before events are lost"


class MemoryGuard:
    """Resident memory of this process; limit in MiB, 0: not watched. The fault is `memory`.

    exhausted  called once with a sentence when it was above 1.2 times the limit at three checks in a row
    """

    def __init__(self, limit: int, exhausted: Callable[[str], None]) -> None:
        self._limit, self._exhausted = limit, exhausted
        self._high = False
        self._far = 0

    def check(self, rss_bytes: int) -> str | None:
        """The sentence of the fault, or None when all is well."""
        if not self._limit:
            return None
        used = rss_bytes / _MIB
        self._far = self._far + 1 if used > _FAR * self._limit else 0
        if self._far == _FAR_CHECKS:
            sentence = (
                f"the station uses {used:.0f} MiB of memory, far more than {self._limit}: it ends to begin afresh"
            )
            _log.error("%s", sentence)
            self._exhausted(sentence)
        self._high = used > self._limit * (1 - _BACK if self._high else 1)
        # Without the present value: a sentence that changes with every check would be published with every check.
        return f"the station uses more than {self._limit} MiB of memory" if self._high else None


def memory_limit(mib: int | None, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """`mib`, or three quarters of what the machine or a control group above this process has; 0 when unknown."""
    if mib is not None:
        return mib
    there = [_total(proc), *_cgroup_limits(proc, cgroup)]
    return int(_DEFAULT_SHARE * min((value for value in there if value), default=0) / _MIB)


def _total(proc: Path) -> int:
    try:
        line = next(line for line in (proc / "meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
        return 1024 * int(line.split()[1])
    except (OSError, StopIteration, ValueError, IndexError):
        return 0


def _cgroup_limits(proc: Path, cgroup: Path) -> list[int]:
    """memory.max of this process's control group (version 2) and of those above it."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    limits = []
    for group in (Path(own), *Path(own).parents):
        try:
            limits.append(int((cgroup / str(group).lstrip("/") / "memory.max").read_text()))
        except (OSError, ValueError):  # "max", or none here
            continue
    return limits

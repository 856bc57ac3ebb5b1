"""The tests-only CUDA driver from Python: an emulation on the host, not a GPU.

`FakeDriver.load()` must come before pycuda is imported: pycuda and ctypes then find the emulated libcuda.so.1 by its
name. Between tests `reset()` destroys everything.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fake_cuda.build import CACHE, build_driver

# Values of CUresult that tests plant or meet.
INVALID_VALUE, OUT_OF_MEMORY, ILLEGAL_ADDRESS, LAUNCH_FAILED = 1, 2, 700, 719

_CALL_FAILS, _CONTEXT_IS_LOST, _CAPTURES_ARE_INVALIDATED = range(3)


class RealDriverLoaded(RuntimeError):
    """This process already uses NVIDIA's libcuda; the emulation would not be found by its name."""


@dataclass(frozen=True)
class FakeDriver:
    """The emulated driver of this process."""

    library: ctypes.CDLL

    @classmethod
    def load(cls, cache: Path = CACHE) -> FakeDriver:
        """Build the emulation where needed and load it as libcuda.so.1. ToolchainMissing, RealDriverLoaded."""
        path = build_driver(cache)
        loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
        if real := sorted(name for name in loaded if Path(name).name.startswith("libcuda.so") and name != str(path)):
            raise RealDriverLoaded(f"{real[0]} is loaded: the emulated driver needs a process of its own")
        library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        for name in ("calls", "timeline", "reports", "dropped", "leaks"):
            getattr(library, f"fake_cuda_{name}").restype = ctypes.c_char_p
        return cls(library)

    def reset(self) -> None:
        """Destroy everything; counters, faults and configuration start anew."""
        self.library.fake_cuda_reset()

    def configure(
        self,
        *,
        compute_capability: tuple[int, int] = (8, 7),
        integrated: bool = False,
        memory: int = 8 << 30,
        driver_version: int = 13000,
        eager_copies: bool = False,
    ) -> None:
        """Choose what the device says about itself; `memory` in bytes.

        With `eager_copies` a copy runs as soon as its own stream lets it, beside kernels that wait in others: it shows
        a buffer that is overwritten too early, where the lazy order shows one that is read too early.
        """
        major, minor = compute_capability
        self.library.fake_cuda_configure(
            major, minor, int(integrated), ctypes.c_size_t(memory), driver_version, int(eager_copies)
        )

    def use_kernels(self, path: Path) -> None:
        """Name the shared library of host-built kernels that modules loaded from now on take theirs from."""
        self.library.fake_cuda_use_kernels(str(path).encode())

    def fail(self, api: str, result: int, nth: int | None = None, times: int = 1) -> None:
        """Let `times` calls of `api` from the `nth` on (1 is the next), or every call, fail with this CUresult.

        A call that fails so does nothing: a failed cuStreamEndCapture leaves the capture open (`invalidate_captures`
        ends it as the driver does). pycuda answers OUT_OF_MEMORY with a garbage collection and a second try, so one
        failure alone goes unnoticed there.
        """
        if nth is None:
            self._plant(api, _CALL_FAILS, result, None)
        else:
            for call in range(nth, nth + times):
                self._plant(api, _CALL_FAILS, result, call)

    def lose_context(self, result: int = ILLEGAL_ADDRESS, at: str | None = None, nth: int = 1) -> None:
        """Let every later call fail with this CUresult: from now on, or from the `nth` call of `at`."""
        if at is None:
            self.library.fake_cuda_lose_context(result)
        else:
            self._plant(at, _CONTEXT_IS_LOST, result, nth)

    def invalidate_captures(self, at: str | None = None, nth: int = 1) -> None:
        """Spoil the open captures as another thread can: now, or just before the `nth` call of `at`."""
        if at is None:
            self.library.fake_cuda_invalidate_captures()
        else:
            self._plant(at, _CAPTURES_ARE_INVALIDATED, 0, nth)

    def annotate(self, label: str, addresses: Sequence[int] = ()) -> None:
        """Name this thread's next cuLaunchHostFunc in the timeline, and the device memory that it uses."""
        array = (ctypes.c_size_t * len(addresses))(*addresses)
        self.library.fake_cuda_annotate(label.encode(), array, ctypes.c_size_t(len(addresses)))

    def calls(self) -> dict[str, int]:
        """Count the calls of each function since the reset, without version suffixes; absent: never called.

        The entry "implicit synchronisation" counts asynchronous copies that had to wait.
        """
        counted: dict[str, int] = self._read("calls")
        return counted

    def timeline(self) -> list[str]:
        """List the work in the order in which it ran: "stream 1: kernel adam", "stream 1, graph: fill, 4 bytes"."""
        return self._lines("timeline")

    def reports(self) -> list[str]:
        """List the sentences about misuse, which also went to stderr."""
        return self._lines("reports")

    def leaks(self) -> list[str]:
        """Describe what was made and is not destroyed."""
        return self._lines("leaks")

    def dropped(self) -> list[str]:
        """Describe what was destroyed only because its context was."""
        return self._lines("dropped")

    def _plant(self, api: str, mishap: int, result: int, nth: int | None) -> None:
        if nth is not None and nth < 1:
            raise ValueError(f"nth counts from 1, not {nth}")
        self.library.fake_cuda_plant_fault(api.encode(), mishap, result, ctypes.c_ulonglong(nth or 0))

    def _lines(self, what: str) -> list[str]:
        lines: list[str] = self._read(what)
        return lines

    def _read(self, what: str) -> Any:
        return json.loads(getattr(self.library, f"fake_cuda_{what}")())

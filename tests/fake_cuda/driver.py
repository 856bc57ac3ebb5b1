"""The emulated CUDA driver from Python. It runs on the host and is no GPU.

Call `FakeDriver.load()` before pycuda is imported, so that pycuda and ctypes find the emulated libcuda.so.1 by name.
`reset()` destroys everything between tests.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fake_cuda.build import CACHE, build_driver

# Values of CUresult that tests plant or expect.
INVALID_VALUE, OUT_OF_MEMORY, ILLEGAL_ADDRESS, LAUNCH_FAILED = 1, 2, 700, 719

_CALL_FAILS, _CONTEXT_IS_LOST, _CAPTURES_ARE_INVALIDATED = range(3)


class RealDriverLoaded(RuntimeError):
    """This process has loaded another libcuda, so that the emulation would not be found by its name."""


@dataclass(frozen=True)
class FakeDriver:
    """The emulated driver of this process."""

    library: ctypes.CDLL

    @classmethod
    def load(cls, cache: Path = CACHE) -> FakeDriver:
        """Build the emulation if needed, and load it as libcuda.so.1. Raises ToolchainMissing, RealDriverLoaded."""
        path = build_driver(cache)
        loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
        if real := sorted(name for name in loaded if Path(name).name.startswith("libcuda.so") and name != str(path)):
            raise RealDriverLoaded(f"{real[0]} is loaded: the emulated driver needs a process of its own")
        library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        for name in ("calls", "timeline", "reports", "dropped", "leaks"):
            getattr(library, f"fake_cuda_{name}").restype = ctypes.c_char_p
        return cls(library)

    def reset(self) -> None:
        """Destroy all objects, and reset counters, faults and configuration."""
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
        """Set what the device reports about itself; `memory` is in bytes.

        With `eager_copies` a copy runs as soon as its own stream allows, before kernels that wait in other streams.
        This reveals a buffer that is overwritten too early; the default lazy order reveals one that is read too early.
        """
        major, minor = compute_capability
        self.library.fake_cuda_configure(
            major, minor, int(integrated), ctypes.c_size_t(memory), driver_version, int(eager_copies)
        )

    def use_kernels(self, path: Path) -> None:
        """Set the shared library of host-built kernels for modules that are loaded from now on."""
        self.library.fake_cuda_use_kernels(str(path).encode())

    def fail(self, api: str, result: int, nth: int | None = None, times: int = 1) -> None:
        """Make `times` calls of `api` from the `nth` on (1 is the next), or every call, fail with this CUresult.

        Such a call does nothing: a failed cuStreamEndCapture leaves the capture open (`invalidate_captures` ends it as
        the driver does). After OUT_OF_MEMORY pycuda collects garbage and tries again, so one failure alone has no
        effect.
        """
        if nth is None:
            self._plant(api, _CALL_FAILS, result, None)
        else:
            for call in range(nth, nth + times):
                self._plant(api, _CALL_FAILS, result, call)

    def lose_context(self, result: int = ILLEGAL_ADDRESS, at: str | None = None, nth: int = 1) -> None:
        """Make every later call fail with this CUresult: from now on, or from the `nth` call of `at` on."""
        if at is None:
            self.library.fake_cuda_lose_context(result)
        else:
            self._plant(at, _CONTEXT_IS_LOST, result, nth)

    def invalidate_captures(self, at: str | None = None, nth: int = 1) -> None:
        """Invalidate the open captures, as another thread may: now, or just before the `nth` call of `at`."""
        if at is None:
            self.library.fake_cuda_invalidate_captures()
        else:
            self._plant(at, _CAPTURES_ARE_INVALIDATED, 0, nth)

    def annotate(self, label: str, addresses: Sequence[int] = ()) -> None:
        """Name this thread's next cuLaunchHostFunc in the timeline, and state the device memory that it uses."""
        array = (ctypes.c_size_t * len(addresses))(*addresses)
        self.library.fake_cuda_annotate(label.encode(), array, ctypes.c_size_t(len(addresses)))

    def calls(self) -> dict[str, int]:
        """The number of calls of each function since the reset, by name without version suffix, if any.

        The entry "implicit synchronisation" counts asynchronous copies that had to wait.
        """
        counted: dict[str, int] = self._read("calls")
        return counted

    def timeline(self) -> list[str]:
        """The work in the order in which it ran: "stream 1: kernel adam", "stream 1, graph: fill, 4 bytes"."""
        return self._lines("timeline")

    def reports(self) -> list[str]:
        """The sentences about misuse, which stderr got, too."""
        return self._lines("reports")

    def leaks(self) -> list[str]:
        """Descriptions of the objects that were made and not destroyed."""
        return self._lines("leaks")

    def dropped(self) -> list[str]:
        """Descriptions of the objects that were destroyed only with their context."""
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

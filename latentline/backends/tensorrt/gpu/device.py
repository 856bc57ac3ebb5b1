"""The GPU, and the one thread that owns it.

TensorRT calls the CUDA runtime, which uses the device's primary context. So do we, instead of creating another.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pycuda.driver as cuda

from latentline.errors import BackendError, DeviceLostError


class Device:
    """The primary context of a GPU, for the thread that opened it. Raises BackendError when there is no GPU.

    The context is current only inside `current`, so one thread may have several devices open.

    integrated  the GPU shares the host's memory (Jetson)
    """

    def __init__(self, ordinal: int = 0) -> None:
        with driver_errors("the GPU cannot be opened"):
            cuda.init()
            device = cuda.Device(ordinal)
            self.name: str = device.name()
            self.compute_capability: tuple[int, int] = device.compute_capability()
            self.integrated = bool(device.get_attribute(cuda.device_attribute.INTEGRATED))
            self._context = device.retain_primary_context()
        self._owner = threading.get_ident()
        self._lost: str | None = None  # the sentence that says so

    @contextmanager
    def current(self, *, anywhere: bool = False) -> Iterator[None]:
        """Make the context current. Raises BackendError on any thread but the owner, unless `anywhere` is true.

        `anywhere` serves to release what an owner left behind.
        """
        if threading.get_ident() != self._owner and not anywhere:
            raise BackendError(
                "a GPU searcher belongs to the thread that opened it, and another thread called it; "
                "open one in the thread that inspects"
            )
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Make the context current, and turn the driver's errors into BackendError; `what` begins the sentence.

        Raises DeviceLostError when the context is lost, and then at every call.
        """
        if self._lost is not None:
            raise DeviceLostError(self._lost)
        try:
            with driver_errors(what), self.current():
                yield
        except BackendError as error:
            if threading.get_ident() == self._owner and self._is_lost():
                self._lost = f"{error}; the GPU's context is lost, too: restart this process"
                raise DeviceLostError(self._lost) from None
            raise

    def _is_lost(self) -> bool:
        try:
            with self.current():
                cuda.Context.synchronize()
        except cuda.Error:
            return True
        return False

    def close(self) -> None:
        """Release the context, from any thread."""
        self._context.push()  # pycuda only detaches the current context, and leaves it current
        self._context.detach()
        if cuda.Context.get_current() is None:
            ctypes.CDLL("libcuda.so.1").cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


@contextmanager
def driver_errors(what: str) -> Iterator[None]:
    """Turn the driver's errors into a BackendError that begins with `what`."""
    try:
        yield
    except cuda.MemoryError as error:
        raise BackendError(f"{what}: the GPU is out of memory ({error}); use fewer tiles at a time or fp16") from None
    except cuda.Error as error:
        raise BackendError(f"{what}: {error}") from None

"""Memory of one search: on the device, or on both sides of the bus."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pycuda.driver as cuda


class DeviceArray:
    """Uninitialised memory on the device. `address` is the device pointer."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.nbytes = int(np.prod(shape)) * self.dtype.itemsize
        self._allocation = cuda.mem_alloc(self.nbytes)
        self.address = int(self._allocation)

    def read(self) -> npt.NDArray[Any]:
        """A copy on the host. The caller has waited for the stream that writes it."""
        host = np.empty(self.shape, self.dtype)
        cuda.memcpy_dtoh(host, self.address)
        return host

    def write(self, values: npt.ArrayLike) -> None:
        """Fill with `values`; done when it returns. Not for use within a search."""
        array = np.ascontiguousarray(values, self.dtype)
        if array.shape != self.shape:
            raise ValueError(f"values of shape {array.shape} for memory of shape {self.shape}")
        cuda.memcpy_htod(self.address, array)
        # The last part may still be on its way, and no stream of ours waits for it. Nor may we wait for the whole
        # context: that would break a capture of another searcher.
        cuda.Event().record().synchronize()

    def free(self) -> None:
        """Release the memory."""
        self._allocation.free()


class Mirror:
    """Page-locked host memory and its image on the device: one and the same memory where the GPU is integrated.

    host     array that the CPU reads and writes
    address  where kernels find it
    mapped   both sides are the same memory: `upload` and `download` have nothing to do
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, integrated: bool) -> None:
        self.mapped = integrated
        flags = cuda.host_alloc_flags.DEVICEMAP if integrated else 0
        self.host: npt.NDArray[Any] = cuda.pagelocked_empty(shape, dtype, mem_flags=flags)
        self._device = None if integrated else DeviceArray(shape, dtype)
        self._pinned: Any = self.host.base
        self.address = int(self._pinned.get_device_pointer()) if self._device is None else self._device.address

    def upload(self, stream: cuda.Stream) -> None:
        """Enqueue the way to the device."""
        if self._device is not None:
            cuda.memcpy_htod_async(self.address, self.host, stream)

    def download(self, stream: cuda.Stream) -> None:
        """Enqueue the way back."""
        if self._device is not None:
            cuda.memcpy_dtoh_async(self.host, self.address, stream)

    def free(self) -> None:
        """Release both sides. The host array must not be used afterwards."""
        if self._device is not None:
            self._device.free()
        self._pinned.free()


class Arena:
    """Hands out memory and releases all of it together."""

    def __init__(self, integrated: bool) -> None:
        self._integrated = integrated
        self._parts: list[DeviceArray | Mirror] = []

    def device(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        """Memory on the device."""
        array = DeviceArray(shape, dtype)
        self._parts.append(array)
        return array

    def constant(self, values: npt.NDArray[Any]) -> DeviceArray:
        """Memory on the device, filled once."""
        array = self.device(values.shape, values.dtype)
        array.write(values)
        return array

    def mirror(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Mirror:
        """Memory on both sides."""
        mirror = Mirror(shape, dtype, self._integrated)
        self._parts.append(mirror)
        return mirror

    def close(self) -> None:
        """Release everything; may be called again."""
        while self._parts:
            self._parts.pop().free()

"""Memory of a search: on the device alone, or on host and device."""

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
        """A copy on the host. Wait first for the stream that writes the array."""
        host = np.empty(self.shape, self.dtype)
        cuda.memcpy_dtoh(host, self.address)
        return host

    def write(self, values: npt.ArrayLike) -> None:
        """Fill with `values`, and return when that is done. Not for use within a search.

        Raises ValueError for another shape.
        """
        array = np.ascontiguousarray(values, self.dtype)
        if array.shape != self.shape:
            raise ValueError(f"values of shape {array.shape} do not fit memory of shape {self.shape}")
        cuda.memcpy_htod(self.address, array)
        # The copy may not have ended yet, and our streams do not wait for it. Waiting for the whole context would break
        # the capture of another searcher.
        cuda.Event().record().synchronize()

    def free(self) -> None:
        """Release the memory."""
        self._allocation.free()


class Mirror:
    """Page-locked memory on the host and as much on the device. An integrated GPU shares one memory for both.

    host     the array that the CPU reads and writes
    address  the device pointer, for kernels
    mapped   both are the same memory, so `upload` and `download` do nothing
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, integrated: bool) -> None:
        self.mapped = integrated
        flags = cuda.host_alloc_flags.DEVICEMAP if integrated else 0
        self.host: npt.NDArray[Any] = cuda.pagelocked_empty(shape, dtype, mem_flags=flags)
        self._device = None if integrated else DeviceArray(shape, dtype)
        self._pinned: Any = self.host.base
        self.address = int(self._pinned.get_device_pointer()) if self._device is None else self._device.address

    def upload(self, stream: cuda.Stream) -> None:
        """Enqueue the copy to the device."""
        if self._device is not None:
            cuda.memcpy_htod_async(self.address, self.host, stream)

    def download(self, stream: cuda.Stream) -> None:
        """Enqueue the copy to the host."""
        if self._device is not None:
            cuda.memcpy_dtoh_async(self.host, self.address, stream)

    def free(self) -> None:
        """Release host and device memory. Do not use the host array after that."""
        if self._device is not None:
            self._device.free()
        self._pinned.free()


class Arena:
    """Allocates memory, and releases all of it together."""

    def __init__(self, integrated: bool) -> None:
        self._integrated = integrated
        self._arrays: list[DeviceArray | Mirror] = []

    def device(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        """Memory on the device."""
        array = DeviceArray(shape, dtype)
        self._arrays.append(array)
        return array

    def constant(self, values: npt.NDArray[Any]) -> DeviceArray:
        """Memory on the device that holds `values`."""
        array = self.device(values.shape, values.dtype)
        array.write(values)
        return array

    def mirror(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Mirror:
        """Memory on host and device."""
        mirror = Mirror(shape, dtype, self._integrated)
        self._arrays.append(mirror)
        return mirror

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        while self._arrays:
            self._arrays.pop().free()

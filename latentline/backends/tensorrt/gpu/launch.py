"""What a launch of a kernel of kernels.cu or loop.cu consists of, and what all launches share.

tile_launches.py and frame_launches.py say how to launch each kernel: grid, block, shared memory, and arguments in
packing order. They are pure functions of sizes and device addresses, which need no GPU. Addresses are plain integers.
Sizes count elements unless a name says bytes. Every array is dense, except the camera's frame, which has a row pitch.
`real` is float32 or float16, as chosen when the kernels were compiled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from latentline.search.searched_frame import MapKind

Size3 = tuple[int, int, int]

KERNELS = (
    "prepare_frame",
    "gather_tiles",
    "adam",
    "tile_sums",
    "logits_of_tiles",
    "select_tiles",
    "ssim_difference",
    "blend",
    "pool_rows",
    "pool_columns",
    "frame_values",
)
KINDS: tuple[MapKind, ...] = ("residual", "l1", "l2", "ssim")  # of anomaly maps, numbered as in kernels.cu

WARP = 32
THREADS = 256  # in a block of a kernel that writes an array
REDUCERS = 512  # in a block that reduces to one number
OUTPUTS = 4  # elements that one thread computes in `gather_tiles` and both pooling passes
FLOAT_BYTES = 4
NOTHING = 0  # the address of an array that a kernel then neither reads nor writes, where its launch says so


@dataclass(frozen=True)
class Launch:
    """One kernel launch: the kernel's name, grid and block in threads, shared memory in bytes, packed arguments."""

    name: str
    grid: Size3
    block: Size3
    shared: int
    arguments: tuple[np.generic, ...]


def blocks_of(elements: int, each: int) -> int:
    """How many blocks of `each` elements cover them all."""
    return -(-elements // each)


def address(pointer: int) -> np.uint64:
    """A device pointer, packed."""
    packed: np.uint64 = np.uint64(pointer)
    return packed


def integer(value: int) -> np.int32:
    """An int, packed."""
    packed: np.int32 = np.int32(value)
    return packed


def integers(values: tuple[int, ...]) -> tuple[np.int32, ...]:
    """Several ints, packed."""
    return tuple(map(integer, values))

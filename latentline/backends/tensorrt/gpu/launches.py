"""How to launch each kernel of kernels.cu: grid, block, shared memory, and arguments in packing order.

Pure functions of sizes and device addresses, which need no GPU. Addresses are plain integers. Sizes count elements
unless a name says bytes. Every array is dense, except the camera's frame, which has a row pitch. `real` is float32 or
float16, as chosen when the kernels were compiled.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from latentline.backends.adam import BETAS, EPSILON
from latentline.search.searched_frame import MapKind

Float = npt.NDArray[np.float32]
Size3 = tuple[int, int, int]

KERNELS = (
    "prepare_frame",
    "gather_tiles",
    "adam",
    "tile_sums",
    "blend",
    "pool_rows",
    "pool_columns",
    "frame_values",
)
KINDS: tuple[MapKind, ...] = ("residual", "l1", "l2")  # of anomaly maps, numbered as in kernels.cu

WARP = 32
THREADS = 256  # in a block of a kernel that writes an array
REDUCERS = 512  # in a block that reduces to one number
OUTPUTS = 4  # elements that one thread computes in `gather_tiles` and both pooling passes
POOL_BLOCK = (32, 8)  # threads across and down a picture; in `pool_columns` each computes OUTPUTS rows
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Launch:
    """One kernel launch: the kernel's name, grid and block in threads, shared memory in bytes, packed arguments."""

    name: str
    grid: Size3
    block: Size3
    shared: int
    arguments: tuple[np.generic, ...]


def prepare_frame(source: int, pitch: int, source_shape: Size3, prepared: int, shape: Size3) -> Launch:
    """The camera's frame uint8 [H0, W0, C0], rows `pitch` bytes apart, -> uint8 [h, w, C]: channels, then area resize.

    Converts the channels that `Preprocessing` converts, and never enlarges: h <= H0, w <= W0. Raises ValueError for any
    other frame.
    """
    (height0, width0, channels0), (height, width, channels) = source_shape, shape
    if (channels0, channels) not in {(1, 1), (1, 3), (3, 1), (3, 3), (4, 1), (4, 3)}:
        raise ValueError(f"no kernel turns {channels0} channels into {channels}")
    if not (0 < height <= height0 and 0 < width <= width0):
        raise ValueError(f"no kernel enlarges {height0} x {width0} px to {height} x {width}")
    if pitch < width0 * channels0:
        raise ValueError(f"a row of {width0} px of {channels0} bytes does not fit a pitch of {pitch} bytes")
    return Launch(
        "prepare_frame",
        (_blocks(width, POOL_BLOCK[0]), _blocks(height, POOL_BLOCK[1]), 1),
        (*POOL_BLOCK, 1),
        0,
        (_address(source), _int(pitch), *_ints(source_shape), _address(prepared), *_ints(shape)),
    )


def gather_tiles(prepared: int, shape: Size3, corners: int, count: int, tiles: int, size: int) -> Launch:
    """Prepared uint8 [h, w, C] -> tiles real [count, C, S, S] = v / 127.5 - 1, corners int32 [count, 2] of (y, x).

    Tiles that exceed the frame on the right or below continue it mirrored, like `pad_to`.
    """
    pixels = shape[2] * size * size
    return Launch(
        "gather_tiles",
        (_blocks(pixels, THREADS * OUTPUTS), count, 1),
        (THREADS, 1, 1),
        0,
        (_address(prepared), *_ints(shape), _address(corners), _address(tiles), _int(size)),
    )


def adam(
    z: int,
    gradient: int,
    m: int,
    v: int,
    loss: int,
    trace: int,
    *,
    count: int,
    batch: int,
    iteration: int,
    learning_rate: float,
) -> Launch:
    """Step `iteration` (1, 2, …) of `adam_search` on z, m, v float32 [count]; loss [batch] -> trace [iteration - 1].

    trace is float32 [iterations, batch]. The launch passes the bias corrections as constants.
    """
    beta1, beta2 = BETAS
    return Launch(
        "adam",
        (_blocks(max(count, batch), THREADS), 1, 1),
        (THREADS, 1, 1),
        0,
        (
            *(_address(a) for a in (z, gradient, m, v, loss, trace + FLOAT_BYTES * batch * (iteration - 1))),
            *_ints((count, batch)),
            np.float32(1 - beta1),
            np.float32(1 - beta2),
            np.float32(1 - beta2**iteration),
            np.float32(learning_rate / (1 - beta1**iteration)),
            np.float32(EPSILON),
        ),
    )


def tile_sums(
    features_frame: int,
    features: int,
    tiles: int,
    reconstruction: int,
    logit: int,
    feature_residual: int,
    loss: int,
    *,
    batch: int,
    feature_count: int,
    pixel_count: int,
    gamma: float,
    lam: float,
) -> Launch:
    """feature_residual = Σ|f(x) - f(G(ẑ))| and loss = L'(ẑ), float32 [batch], as in the paper.

    f(x), f(G(ẑ)) real [batch, feature_count]; x, G(ẑ) real [batch, pixel_count]; logit of D(G(ẑ)) float32 [batch].
    """
    return Launch(
        "tile_sums",
        (batch, 1, 1),
        (REDUCERS, 1, 1),
        WARP * FLOAT_BYTES,
        (
            *map(_address, (features_frame, features, tiles, reconstruction, logit, feature_residual, loss)),
            *_ints((feature_count, pixel_count)),
            np.float32(gamma),
            np.float32(1 - gamma),
            np.float32(lam),
            np.float32(1 - lam),
        ),
    )


def blend(
    prepared: int,
    shape: Size3,
    reconstruction: int,
    mean: int,
    std: int,
    rows: int,
    row_count: int,
    columns: int,
    column_count: int,
    size: int,
    difference: int,
    picture: int,
    *,
    kind: MapKind,
) -> Launch:
    """Blend tiles into a frame, with the weights of `TilePlan.blend`.

    prepared        uint8 [h, w, C]: x itself, exact even when the tiles are in half precision
    reconstruction  real [row_count * column_count, C, S, S]
    mean, std       float32 [C, S, S]: of the differences in normal frames
    rows, columns   int32 [row_count], [column_count]: where the tiles start; tile = row * column_count + column
    difference      out, float32 [C, h, w]: `SearchedFrame.difference` of that kind, standardised and blended
    picture         out, uint8 [h, w, C]: G(ẑ), blended, as a picture
    """
    height, width, _ = shape
    return Launch(
        "blend",
        (_blocks(width, POOL_BLOCK[0]), _blocks(height, POOL_BLOCK[1]), 1),
        (*POOL_BLOCK, 1),
        0,
        (
            _address(prepared),
            *_ints(shape),
            *map(_address, (reconstruction, mean, std)),
            _address(rows),
            _int(row_count),
            _address(columns),
            _int(column_count),
            *_ints((size, KINDS.index(kind))),
            _address(difference),
            _address(picture),
        ),
    )


def gaussian_taps(scale: float) -> Float:
    """Weights float32 [2 * radius + 1] of a Gaussian of `scale` px, as long as OpenCV makes it for float images.

    Scale 0 gives the single weight 1, which changes nothing.
    """
    if not scale:
        return np.ones(1, np.float32)
    length = round(scale * 8 + 1) | 1
    return np.asarray(cv2.getGaussianKernel(length, scale, cv2.CV_32F), np.float32).reshape(-1)


def pool_rows(source: int, shape: Size3, taps: int, tap_count: int, pooled: int) -> Launch:
    """Weighted means along the rows of float32 [C, h, w]. `shape` is (h, w, C), as everywhere here.

    Rows are mirrored at the edges (BORDER_REFLECT), as often as needed.
    """
    height, width, planes = shape
    segment = THREADS * OUTPUTS
    return Launch(
        "pool_rows",
        (height, _blocks(width, segment), planes),
        (THREADS, 1, 1),
        (segment + tap_count - 1) * FLOAT_BYTES,
        (_address(source), _int(height), _int(width), _address(taps), _int(tap_count), _address(pooled)),
    )


def pool_blocks(height: int, width: int) -> int:
    """The number of partial maxima that `pool_columns` writes for one scale."""
    return _blocks(width, POOL_BLOCK[0]) * _blocks(height, POOL_BLOCK[1] * OUTPUTS)


def pool_columns(
    source: int,
    shape: Size3,
    taps: int,
    tap_count: int,
    anomaly_map: int,
    maxima: int,
    *,
    pooled_std: float,
    kind: MapKind,
    scale_index: int,
) -> Launch:
    """Finish one scale: pool float32 [C, h, w] along its columns, and join the channels into one plane.

    p = pooled / pooled_std; plane = √(mean over C of p²) for kind residual, max(mean over C of p, 0) for l1 and l2.

    anomaly_map  float32 [h, w]: the plane for scale_index 0, then the maximum of the map so far and the plane
    maxima       float32 [scales, pool_blocks]: the largest value of the plane in each block, in row `scale_index`
    """
    height, width, channels = shape
    blocks = pool_blocks(height, width)
    return Launch(
        "pool_columns",
        (_blocks(width, POOL_BLOCK[0]), _blocks(height, POOL_BLOCK[1] * OUTPUTS), 1),
        (*POOL_BLOCK, 1),
        WARP * FLOAT_BYTES,
        (
            _address(source),
            *_ints((height, width, channels)),
            _address(taps),
            _int(tap_count),
            np.float32(pooled_std),
            *_ints((KINDS.index(kind), int(scale_index == 0))),
            _address(anomaly_map),
            _address(maxima + FLOAT_BYTES * blocks * scale_index),
        ),
    )


def frame_values(
    maxima: int,
    scale_count: int,
    blocks: int,
    feature_residual: int,
    logit_reconstruction: int,
    logit_frame: int,
    loss: int,
    tile_count: int,
    values: int,
    *,
    kind: MapKind,
) -> Launch:
    """values float32 [scale_count + 4]: the map's peak at each scale, feature, d_reconstruction, d_frame, loss.

    These are the raw components of `frame_components`: peaks from maxima float32 [scale_count, blocks], the others from
    the worst tile, float32 [tile_count] each.
    """
    return Launch(
        "frame_values",
        (1, 1, 1),
        (REDUCERS, 1, 1),
        WARP * FLOAT_BYTES,
        (
            _address(maxima),
            *_ints((scale_count, blocks)),
            *map(_address, (feature_residual, logit_reconstruction, logit_frame, loss)),
            *_ints((tile_count, KINDS.index(kind))),
            _address(values),
        ),
    )


def _blocks(elements: int, each: int) -> int:
    return -(-elements // each)


def _address(pointer: int) -> np.uint64:
    address: np.uint64 = np.uint64(pointer)
    return address


def _int(value: int) -> np.int32:
    packed: np.int32 = np.int32(value)
    return packed


def _ints(values: tuple[int, ...]) -> tuple[np.int32, ...]:
    return tuple(map(_int, values))

"""How to launch the kernels that work on a frame: preparing it, its map and its components. See launch.py."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from latentline.backends.tensorrt.gpu.launch import (
    FLOAT_BYTES,
    KINDS,
    OUTPUTS,
    REDUCERS,
    THREADS,
    WARP,
    Launch,
    Size3,
    address,
    blocks_of,
    integer,
    integers,
)
from latentline.search.searched_frame import MapKind

Float = npt.NDArray[np.float32]

POOL_BLOCK = (32, 8)  # threads across and down a picture; in `pool_columns` each computes OUTPUTS rows


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
        (blocks_of(width, POOL_BLOCK[0]), blocks_of(height, POOL_BLOCK[1]), 1),
        (*POOL_BLOCK, 1),
        0,
        (address(source), integer(pitch), *integers(source_shape), address(prepared), *integers(shape)),
    )


def blend(
    prepared: int,
    shape: Size3,
    reconstruction: int,
    tile_difference: int,
    mean: int,
    std: int,
    rows: int,
    row_count: int,
    columns: int,
    column_count: int,
    place: int,
    size: int,
    difference: int,
    picture: int,
    *,
    kind: MapKind,
) -> Launch:
    """Blend tiles into a frame, with the weights of `TilePlan.blend`.

    prepared         uint8 [h, w, C]: x itself, exact even when the tiles are in half precision
    reconstruction   real [N, C, S, S] of the searched tiles; N = row_count * column_count where all are
    tile_difference  float32 [N, C, S, S] of `ssim_difference`; 0 for the other kinds
    mean, std        float32 [C, S, S]: of the differences in normal frames
    rows, columns    int32 [row_count], [column_count]: where the tiles start; tile = row * column_count + column
    place            int32 [row_count * column_count] of `select_tiles`; NOTHING: all tiles are searched
    difference       out, float32 [C, h, w]: `SearchedFrame.difference` of that kind, standardised and blended; tiles
                     that are not searched count as 0
    picture          out, uint8 [h, w, C]: G(ẑ), blended, as a picture; x where nothing is searched
    """
    height, width, _ = shape
    return Launch(
        "blend",
        (blocks_of(width, POOL_BLOCK[0]), blocks_of(height, POOL_BLOCK[1]), 1),
        (*POOL_BLOCK, 1),
        0,
        (
            address(prepared),
            *integers(shape),
            *map(address, (reconstruction, tile_difference, mean, std)),
            address(rows),
            integer(row_count),
            address(columns),
            integer(column_count),
            address(place),
            *integers((size, KINDS.index(kind))),
            address(difference),
            address(picture),
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
        (height, blocks_of(width, segment), planes),
        (THREADS, 1, 1),
        (segment + tap_count - 1) * FLOAT_BYTES,
        (address(source), integer(height), integer(width), address(taps), integer(tap_count), address(pooled)),
    )


def pool_blocks(height: int, width: int) -> int:
    """The number of partial maxima that `pool_columns` writes for one scale."""
    return blocks_of(width, POOL_BLOCK[0]) * blocks_of(height, POOL_BLOCK[1] * OUTPUTS)


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

    p = pooled / pooled_std; plane = √(mean over C of p²) for kind residual, max(mean over C of p, 0) for the others.

    anomaly_map  float32 [h, w]: the plane for scale_index 0, then the maximum of the map so far and the plane
    maxima       float32 [scales, pool_blocks]: the largest value of the plane in each block, in row `scale_index`
    """
    height, width, channels = shape
    blocks = pool_blocks(height, width)
    return Launch(
        "pool_columns",
        (blocks_of(width, POOL_BLOCK[0]), blocks_of(height, POOL_BLOCK[1] * OUTPUTS), 1),
        (*POOL_BLOCK, 1),
        WARP * FLOAT_BYTES,
        (
            address(source),
            *integers((height, width, channels)),
            address(taps),
            integer(tap_count),
            np.float32(pooled_std),
            *integers((KINDS.index(kind), int(scale_index == 0))),
            address(anomaly_map),
            address(maxima + FLOAT_BYTES * blocks * scale_index),
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
    the worst tile, float32 [tile_count] each. Without logit_reconstruction, or loss (NOTHING), its value is left out.
    """
    return Launch(
        "frame_values",
        (1, 1, 1),
        (REDUCERS, 1, 1),
        WARP * FLOAT_BYTES,
        (
            address(maxima),
            *integers((scale_count, blocks)),
            *map(address, (feature_residual, logit_reconstruction, logit_frame, loss)),
            *integers((tile_count, KINDS.index(kind))),
            address(values),
        ),
    )

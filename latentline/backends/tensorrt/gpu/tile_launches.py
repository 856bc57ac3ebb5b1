"""How to launch the kernels that work on tiles: cutting, the search, and their SSIM. See launch.py."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from latentline.backends.adam import BETAS, EPSILON
from latentline.backends.tensorrt.gpu.launch import (
    FLOAT_BYTES,
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
from latentline.vision.ssim import C1, C2, WINDOW

Float = npt.NDArray[np.float32]

SSIM_SIDE = 16  # of the square that a block of `ssim_difference` computes


def gather_tiles(prepared: int, shape: Size3, corners: int, count: int, tiles: int, height: int, width: int) -> Launch:
    """Prepared uint8 [h, w, C] -> tiles real [count, C, height, width] = v / 127.5 - 1; corners int32 [count, 2].

    corners  (y, x) of each tile
    Tiles that exceed the frame on the right or below continue it mirrored, like `pad_to`.
    """
    pixels = shape[2] * height * width
    return Launch(
        "gather_tiles",
        (blocks_of(pixels, THREADS * OUTPUTS), count, 1),
        (THREADS, 1, 1),
        0,
        (address(prepared), *integers(shape), address(corners), address(tiles), *integers((height, width))),
    )


def adam(
    z: int,
    gradient: int,
    m: int,
    v: int,
    loss: int,
    trace: int,
    iteration: int,
    corrections: int,
    *,
    count: int,
    batch: int,
) -> Launch:
    """One step of `adam_search` on z, m, v float32 [count]; loss [batch] -> its row of trace [iterations, batch].

    iteration    int32: which step, counted from 0
    corrections  float32 [iterations, 2]: `adam_corrections`
    """
    beta1, beta2 = BETAS
    return Launch(
        "adam",
        (blocks_of(max(count, batch), THREADS), 1, 1),
        (THREADS, 1, 1),
        0,
        (
            *map(address, (z, gradient, m, v, loss, trace, iteration, corrections)),
            *integers((count, batch)),
            np.float32(1 - beta1),
            np.float32(1 - beta2),
            np.float32(EPSILON),
        ),
    )


def adam_corrections(iterations: int, learning_rate: float) -> Float:
    """Adam's bias corrections, float32 [iterations, 2]: 1 - β2^t, and learning_rate / (1 - β1^t), for t = 1, 2, …"""
    beta1, beta2 = BETAS
    steps = range(1, iterations + 1)
    return np.array([(1 - beta2**t, learning_rate / (1 - beta1**t)) for t in steps], np.float32).reshape(-1, 2)


def next_iteration(iteration: int, iterations: int, condition: int) -> Launch:
    """Count iteration int32 up by one, and set a loop's condition: whether it is below `iterations`. See loop.cu."""
    return Launch(
        "next_iteration", (1, 1, 1), (1, 1, 1), 0, (address(iteration), integer(iterations), np.uint64(condition))
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
    Where logit and loss are NOTHING, only the feature residual is computed.
    """
    return Launch(
        "tile_sums",
        (batch, 1, 1),
        (REDUCERS, 1, 1),
        WARP * FLOAT_BYTES,
        (
            *map(address, (features_frame, features, tiles, reconstruction, logit, feature_residual, loss)),
            *integers((feature_count, pixel_count)),
            np.float32(gamma),
            np.float32(1 - gamma),
            np.float32(lam),
            np.float32(1 - lam),
        ),
    )


def logits_of_tiles(windows: int, shape: tuple[int, int], step: int, corners: int, count: int, logit: int) -> Launch:
    """The logit of each tile, float32 [count], as `FirstLook.of_tiles`.

    windows  float32 of this shape [rows, columns], `step` px apart; corners int32 [count, 2] of (y, x)
    """
    return Launch(
        "logits_of_tiles",
        (blocks_of(count, THREADS), 1, 1),
        (THREADS, 1, 1),
        0,
        (address(windows), *integers((*shape, step)), address(corners), integer(count), address(logit)),
    )


def select_tiles(
    logit: int, corners: int, count: int, most: int, room: int, place: int, chosen: int, chosen_corners: int
) -> Launch:
    """The `most` <= `count` tiles that look least normal, as `least_normal`; the last one fills up the `room`.

    logit           float32 [count]; corners int32 [count, 2] of (y, x)
    place           out, int32 [count]: where a tile is among the chosen ones; -1: it is none of them
    chosen          out, int32 [room]: the tiles, ascending; chosen_corners: out, int32 [room, 2], theirs
    """
    return Launch(
        "select_tiles",
        (1, 1, 1),
        (REDUCERS, 1, 1),
        0,
        (
            *map(address, (logit, corners)),
            *integers((count, most, room)),
            *map(address, (place, chosen, chosen_corners)),
        ),
    )


def ssim_difference(
    prepared: int, shape: Size3, corners: int, count: int, reconstruction: int, size: int, taps: int, difference: int
) -> Launch:
    """1 − SSIM of x and G(ẑ), float32 [count, C, S, S], as `SearchedFrame.difference` of kind ssim.

    prepared, corners  as in `gather_tiles`: x itself, exact even when the tiles are in half precision
    reconstruction     real [count, C, S, S]
    taps               float32 [WINDOW]: `window` of latentline.vision.ssim
    """
    side = SSIM_SIDE + WINDOW - 1
    squares = blocks_of(size, SSIM_SIDE)
    return Launch(
        "ssim_difference",
        (count * shape[2], squares, squares),
        (SSIM_SIDE, SSIM_SIDE, 1),
        (2 * side + 5 * SSIM_SIDE) * side * FLOAT_BYTES,
        (
            address(prepared),
            *integers(shape),
            *map(address, (corners, reconstruction)),
            integer(size),
            address(taps),
            integer(WINDOW),
            np.float32(C1),
            np.float32(C2),
            address(difference),
        ),
    )

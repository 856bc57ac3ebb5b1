"""How to launch the kernels that work on tiles: cutting, the search, and their SSIM. See launch.py."""

from __future__ import annotations

import numpy as np

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

SSIM_SIDE = 16  # of the square that a block of `ssim_difference` computes


def gather_tiles(prepared: int, shape: Size3, corners: int, count: int, tiles: int, size: int) -> Launch:
    """Prepared uint8 [h, w, C] -> tiles real [count, C, S, S] = v / 127.5 - 1, corners int32 [count, 2] of (y, x).

    Tiles that exceed the frame on the right or below continue it mirrored, like `pad_to`.
    """
    pixels = shape[2] * size * size
    return Launch(
        "gather_tiles",
        (blocks_of(pixels, THREADS * OUTPUTS), count, 1),
        (THREADS, 1, 1),
        0,
        (address(prepared), *integers(shape), address(corners), address(tiles), integer(size)),
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
        (blocks_of(max(count, batch), THREADS), 1, 1),
        (THREADS, 1, 1),
        0,
        (
            *(address(a) for a in (z, gradient, m, v, loss, trace + FLOAT_BYTES * batch * (iteration - 1))),
            *integers((count, batch)),
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
            *map(address, (features_frame, features, tiles, reconstruction, logit, feature_residual, loss)),
            *integers((feature_count, pixel_count)),
            np.float32(gamma),
            np.float32(1 - gamma),
            np.float32(lam),
            np.float32(1 - lam),
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

"""Four ways to search for the latent of one tile, with the same weights, tile and steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import openvino as ov
import torch
from torch import Tensor

from latentline.backends.adam import adam_search
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.errors import CheckpointError
from latentline.vision.preprocessing import to_model_range
from trainer.checkpoint import load_checkpoint
from trainer.networks.discriminator import Discriminator
from trainer.networks.frozen import freeze
from trainer.networks.generator import Generator
from trainer.reference.search import search_loss

GAMMA, LAM, LEARNING_RATE = 0.1, 0.1, 0.05
GEMM_SIZE = 1536

Search = Callable[[int], Tensor]  # iterations -> ẑ [1, L]


@dataclass(frozen=True)
class SearchProblem:
    """Networks and one tile: `tile` uint8 [1, R, R, C], the same as `x` [1, C, R, R], first latent `z` [1, L], f(x)."""

    generator: Generator
    discriminator: Discriminator
    tile: npt.NDArray[np.uint8]
    x: Tensor
    z: Tensor
    fx: Tensor


def make_problem(checkpoint: Path | None, px: int) -> SearchProblem:
    """Networks of the checkpoint, or random ones that have the paper's size at 64 px, and a tile of noise.

    Raises CheckpointError, also when the checkpoint is not of a GAN.
    """
    torch.manual_seed(0)
    generator, discriminator = _random_networks(px) if checkpoint is None else _trained_networks(checkpoint)
    generator.eval().requires_grad_(True)
    discriminator.eval().requires_grad_(True)
    shape = (1, generator.resolution, generator.resolution, generator.channels)
    tile = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    x = torch.from_numpy(to_model_range(tile))
    with torch.no_grad():
        fx = discriminator(x)[1]
    return SearchProblem(generator, discriminator, tile, x, torch.randn(1, generator.latent_size), fx)


def _random_networks(px: int) -> tuple[Generator, Discriminator]:
    return Generator(px, 3, 512, 4096, 128), Discriminator(px, 3, 4096, 128)


def _trained_networks(checkpoint: Path) -> tuple[Generator, Discriminator]:
    loaded = load_checkpoint(checkpoint)
    if not isinstance(loaded.generator, Generator) or loaded.discriminator is None:
        raise CheckpointError(f"{checkpoint}: {loaded.config.method.kind} has no search; give the checkpoint of a GAN")
    return loaded.generator, loaded.discriminator


def torch_search(problem: SearchProblem, *, optimised: bool) -> Search:
    """The loop in PyTorch; `optimised`: weights frozen and everything channels_last."""
    generator, discriminator, x, fx = problem.generator, problem.discriminator, problem.x, problem.fx
    if optimised:
        generator, discriminator = freeze(generator, discriminator)
        for network in (generator, discriminator):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x, fx = (t.contiguous(memory_format=torch.channels_last) for t in (x, fx))

    def search(iterations: int) -> Tensor:
        z = problem.z.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([z], lr=LEARNING_RATE)
        for _ in range(iterations):
            optimizer.zero_grad()
            torch.autograd.backward(search_loss(generator, discriminator, z, x, fx, GAMMA, LAM).sum())
            optimizer.step()
        return z.detach()

    return search


def exported_search(problem: SearchProblem, searcher: OpenVinoSearcher) -> Search:
    """The station's loop with the exported search step."""
    x, fx, z = (t.numpy() for t in (problem.x, problem.fx, problem.z))

    def search(iterations: int) -> Tensor:
        return torch.from_numpy(adam_search(lambda z: searcher.step(z, x, fx)[1], z, iterations, LEARNING_RATE))

    return search


def onnxruntime_search(problem: SearchProblem, content: bytes, threads: int) -> Search:
    """The station's loop with the same graph in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feeds = {"x": problem.x.numpy(), "fx": problem.fx.numpy()}

    def search(iterations: int) -> Tensor:
        step = partial(session.run, ["grad_z"])
        z = adam_search(lambda z: step({"z": z, **feeds})[0], problem.z.numpy(), iterations, LEARNING_RATE)
        return torch.from_numpy(z)

    return search


def gemm(threads: int) -> tuple[Callable[[], object], float]:
    """A large matrix product in OpenVINO, and the number of its floating-point operations."""
    n = GEMM_SIZE
    a = ov.opset13.parameter([n, n], np.float32)
    b = ov.opset13.constant(np.random.default_rng(0).standard_normal((n, n), dtype=np.float32))
    model = ov.Model([ov.opset13.matmul(a, b, False, False)], [a], "gemm")
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    left = np.ones((n, n), np.float32)
    return lambda: request.infer([left]), 2.0 * n**3

"""How much faster is the exported search than the loop everyone writes?

python bench/search_speed.py [CHECKPOINT] [--px 64] [--iterations N] [--repeats R] [--threads T] [--json]

Four ways to search for the latent of one tile: same weights, tile and number of iterations, interleaved in one run.

    naive     PyTorch: autograd and torch.optim.Adam; all weights require a gradient, as everyone writes it
    frozen    PyTorch done well: weights frozen, channels_last
    exported  the station's CPU backend: exported graph without autograd, Adam in NumPy
    onnxruntime  the same graph in the other runtime that a station could use

f(x) is computed once in all, which flatters the naive loop. Without CHECKPOINT the networks have random weights.
Each repeat times one step (loss, gradient, update of z) of each way in turn; ratios are medians of the ratios within a
repeat. Between two timings there is a pause, in which the threads of the runtime before stop spinning.

gemm_share: nominal floating-point operations per second of the exported step, over those of a large float32 matrix
product in OpenVINO in the same repeat. Counted from the shapes in search_step.onnx: 2 for each multiplication of a
convolution or matrix product, forward and backward, as folded; products with padding zeros count, activations and norms
do not.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import torch
from protocols.circumstances import processor
from torch import Tensor

from export.package import export_model
from latentline.backends.adam import adam_search
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.errors import run_command
from latentline.package.manifest import SearchSettings
from latentline.package.model_package import SEARCH_STEP
from latentline.vision.preprocessing import to_model_range
from trainer.checkpoint import load_checkpoint
from trainer.networks.discriminator import Discriminator
from trainer.networks.frozen import freeze
from trainer.networks.generator import Generator
from trainer.reference.search import loss_and_gradient, search_loss

GAMMA, LAM, LEARNING_RATE = 0.1, 0.1, 0.05
PAUSE = 0.03  # seconds
GEMM_SIZE = 1536
CHECKED_STEPS = 3

Search = Callable[[int], Tensor]  # iterations -> ẑ [1, L]


@dataclass(frozen=True)
class Problem:
    """One tile to explain: tile uint8 [1, R, R, C], the same as x [1, C, R, R], first latent z [1, L], f(x)."""

    generator: Generator
    discriminator: Discriminator
    tile: np.ndarray
    x: Tensor
    z: Tensor
    fx: Tensor


def make_problem(checkpoint: Path | None, px: int) -> Problem:
    """Networks of the checkpoint, or of random weights in the size of the paper's at 64 px, and a tile of noise."""
    torch.manual_seed(0)
    if checkpoint is not None:
        loaded = load_checkpoint(checkpoint)
        generator, discriminator = loaded.generator, loaded.discriminator
    else:
        generator, discriminator = Generator(px, 3, 512, 4096, 128), Discriminator(px, 3, 4096, 128)
    generator.eval().requires_grad_(True), discriminator.eval().requires_grad_(True)
    shape = (1, generator.resolution, generator.resolution, generator.channels)
    tile = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    x = torch.from_numpy(to_model_range(tile))
    with torch.no_grad():
        fx = discriminator(x)[1]
    return Problem(generator, discriminator, tile, x, torch.randn(1, generator.latent_size), fx)


def torch_search(problem: Problem, well: bool) -> Search:
    """The loop in PyTorch; `well`: weights frozen and everything channels_last."""
    generator, discriminator, x, fx = problem.generator, problem.discriminator, problem.x, problem.fx
    if well:
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


def exported_search(problem: Problem, searcher: OpenVinoSearcher) -> Search:
    """The station's loop on the exported step."""
    x, fx, z = (t.numpy() for t in (problem.x, problem.fx, problem.z))

    def search(iterations: int) -> Tensor:
        return torch.from_numpy(adam_search(lambda z: searcher.step(z, x, fx)[1], z, iterations, LEARNING_RATE))

    return search


def onnxruntime_search(problem: Problem, content: bytes, threads: int) -> Search:
    """The station's loop with the same graph in ONNX Runtime: the other runtime that could have been chosen."""
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
    """A large matrix product in OpenVINO, and its floating-point operations."""
    n = GEMM_SIZE
    a = ov.opset13.parameter([n, n], np.float32)
    b = ov.opset13.constant(np.random.default_rng(0).standard_normal((n, n), dtype=np.float32))
    model = ov.Model([ov.opset13.matmul(a, b, False, False)], [a], "gemm")
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    left = np.ones((n, n), np.float32)
    return lambda: request.infer([left]), 2.0 * n**3


def nominal_operations(content: bytes) -> float:
    """2 · multiplications of a graph's convolutions and matrix products at batch 1, without what is folded at load."""
    model = onnx.load_from_string(content)
    for port in [*model.graph.input, *model.graph.output]:
        port.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim] for v in [*graph.value_info, *graph.input]
    }
    shapes |= {v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim] for v in graph.output}
    shapes |= {i.name: list(i.dims) for i in graph.initializer}
    constants, total = {i.name for i in graph.initializer}, 0.0
    for node in graph.node:
        if set(node.input) <= constants:
            constants |= set(node.output)
            continue
        output = float(np.prod(shapes[node.output[0]]))
        if node.op_type == "Conv":
            total += 2 * output * np.prod(shapes[node.input[1]][1:])
        elif node.op_type == "ConvTranspose":
            total += 2 * float(np.prod(shapes[node.input[0]])) * np.prod(shapes[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul"):
            total += 2 * output * np.prod(shapes[node.input[0]]) / shapes[node.output[0]][0]
    return total


def milliseconds(action: Callable[[], object]) -> float:
    """Time of one call, after a pause."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - start)


def equality(problem: Problem, searcher: OpenVinoSearcher, searches: dict[str, Search]) -> dict[str, float]:
    """Whether all ways compute the same: gradient against float64, z and loss after steps against the naive loop."""
    generator, discriminator = freeze(problem.generator, problem.discriminator)
    networks = generator.double(), discriminator.double()
    x, fx = problem.x.double(), problem.fx.double()
    _, true = loss_and_gradient(*networks, problem.z.double(), x, fx, GAMMA, LAM)
    _, found = searcher.step(problem.z.numpy(), problem.x.numpy(), problem.fx.numpy())
    result = {"gradient_error": _relative(torch.from_numpy(found), true)}
    ends = {name: search(CHECKED_STEPS).double() for name, search in searches.items()}
    with torch.no_grad():
        losses = {name: search_loss(*networks, z, x, fx, GAMMA, LAM) for name, z in ends.items()}
    for name in ("frozen", "exported", "onnxruntime"):
        result[f"z_difference_{name}"] = _relative(ends[name], ends["naive"])
        result[f"loss_difference_{name}"] = _relative(losses[name], losses["naive"])
    return result


def _relative(found: Tensor, true: Tensor) -> float:
    return float((found - true).norm() / true.norm())


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """All figures of one run, by name."""
    torch.set_num_threads(arguments.threads)
    problem = make_problem(arguments.checkpoint, arguments.px)
    settings = SearchSettings(
        seed=0, iterations=arguments.iterations, learning_rate=LEARNING_RATE, gamma=GAMMA, lam=LAM
    )
    model = export_model(problem.generator, problem.discriminator, None, settings)
    searcher = OpenVinoSearcher(model, arguments.threads)
    searches = {
        "naive": torch_search(problem, well=False),
        "frozen": torch_search(problem, well=True),
        "exported": exported_search(problem, searcher),
        "onnxruntime": onnxruntime_search(problem, model.graphs[SEARCH_STEP], arguments.threads),
    }
    product, product_operations = gemm(arguments.threads)
    result: dict[str, object] = {**equality(problem, searcher, searches)}
    times: dict[str, list[float]] = {name: [] for name in [*searches, "gemm"]}
    for repeat in range(-2, arguments.repeats):  # the first two warm up
        for name in times:
            elapsed = milliseconds(product if name == "gemm" else partial(searches[name], 1))
            if repeat >= 0:
                times[name].append(elapsed)
    whole: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(max(5, arguments.repeats // 4)):
        for name, search in searches.items():
            whole[name].append(milliseconds(partial(search, arguments.iterations)))
    searcher.close()
    operations = nominal_operations(model.graphs[SEARCH_STEP])
    return (
        result
        | _figures(times, whole, operations / product_operations)
        | _circumstances(arguments, problem, operations)
    )


def _figures(times: dict[str, list[float]], whole: dict[str, list[float]], work: float) -> dict[str, object]:
    """Medians and spreads; `work`: operations of a step over those of the matrix product."""
    figures: dict[str, object] = {}
    samples = {f"{name}_ms": np.array(values) for name, values in times.items()}
    samples |= {f"search_{name}_ms": np.array(values) for name, values in whole.items()}
    for prefix in ("", "search_"):
        for name in ("naive", "frozen", "onnxruntime"):
            samples[f"{prefix}ratio_{name}"] = samples[f"{prefix}{name}_ms"] / samples[f"{prefix}exported_ms"]
    samples["gemm_share"] = work * samples["gemm_ms"] / samples["exported_ms"]
    for name, values in samples.items():
        figures[name] = float(np.median(values))
        figures[f"{name}_p10"], figures[f"{name}_p90"] = (float(v) for v in np.percentile(values, [10, 90]))
    return figures


def _circumstances(arguments: argparse.Namespace, problem: Problem, operations: float) -> dict[str, object]:
    return {
        "px": problem.generator.resolution,
        "channels": problem.generator.channels,
        "iterations": arguments.iterations,
        "repeats": arguments.repeats,
        "threads": arguments.threads,
        "step_gflop": operations / 1e9,
        "machine": processor(),
        "versions": f"torch {torch.__version__}, openvino {ov.__version__.split('-')[0]}, "
        f"onnxruntime {onnxruntime.__version__}",
    }


def table(result: dict[str, object]) -> str:
    """The figures as text."""
    lines = [
        f"{result['px']} px, {result['channels']} channels, {result['step_gflop']:.2f} GFLOP a step (folded), "
        f"{result['threads']} threads, {result['machine']}, {result['versions']}",
        "",
        f"{'':40}{'median':>10}{'p10':>10}{'p90':>10}",
    ]
    rows = {
        "one step, naive (ms)": "naive_ms",
        "one step, frozen (ms)": "frozen_ms",
        "one step, exported (ms)": "exported_ms",
        "one step, exported, ONNX Runtime (ms)": "onnxruntime_ms",
        "naive / exported": "ratio_naive",
        "frozen / exported": "ratio_frozen",
        "ONNX Runtime / exported": "ratio_onnxruntime",
        f"search of {result['iterations']}, naive (ms)": "search_naive_ms",
        f"search of {result['iterations']}, frozen (ms)": "search_frozen_ms",
        f"search of {result['iterations']}, exported (ms)": "search_exported_ms",
        "search, naive / exported": "search_ratio_naive",
        "search, frozen / exported": "search_ratio_frozen",
        "search, ONNX Runtime / exported": "search_ratio_onnxruntime",
        "share of the GEMM rate": "gemm_share",
    }
    lines += [
        f"{label:40}" + "".join(f"{result[key + end]:10.2f}" for end in ("", "_p10", "_p90"))
        for label, key in rows.items()
    ]
    names = ("gradient_error", "z_difference_frozen", "z_difference_exported", "loss_difference_exported")
    checks = ", ".join(f"{name.replace('_', ' ')} {result[name]:.1e}" for name in names)
    return "\n".join([*lines, "", f"equal results (relative, z and loss after {CHECKED_STEPS} steps): {checks}"])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?", help="take the networks of this checkpoint")
    parser.add_argument("--px", type=int, default=64, help="resolution of the random networks (64)")
    parser.add_argument("--iterations", type=int, default=50, help="of the whole search (50)")
    parser.add_argument("--repeats", type=int, default=24, help="timed steps of each way (24)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each way (2)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    result = measure(arguments)
    print(json.dumps(result, indent=2) if arguments.json else table(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

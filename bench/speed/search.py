"""How much faster is the exported search than a plain PyTorch loop?

python -m bench.speed.search [CHECKPOINT] [--px 64] [--iterations N] [--repeats R] [--threads T] [--json]

Four ways to search for the latent of one tile, with the same weights, tile and number of iterations:

    naive        PyTorch as most people write it: autograd, torch.optim.Adam, and every weight requires a gradient
    frozen       optimised PyTorch: weights frozen, channels_last
    exported     the station's CPU backend: the exported graph without autograd, Adam in NumPy
    onnxruntime  the same graph in ONNX Runtime, which a station could use instead

f(x) is computed once for all, which favours the naive loop. Without CHECKPOINT the networks have random weights. Each
repeat times one step (loss, gradient, update of z) of each way in turn; ratios are medians of the ratios within a
repeat. A pause before each timing lets the threads of the previous runtime stop spinning.

gemm_share: floating-point operations per second of the exported step, over those of a large float32 matrix product in
OpenVINO in the same repeat. Operations are nominal, as in bench.roofline.search: two for each multiply-add of a
convolution or matrix product, forward and backward. Products with padding zeros count; activations and norms do not.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import openvino as ov
import torch
from torch import Tensor

from bench.command_line import bench_parser
from bench.roofline.graph_cost import graph_cost
from bench.speed.search_variants import (
    GAMMA,
    LAM,
    LEARNING_RATE,
    Search,
    SearchProblem,
    exported_search,
    gemm,
    make_problem,
    onnxruntime_search,
    torch_search,
)
from export.package import export_model
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.base.counted import counted
from latentline.base.processor import processor
from latentline.errors import run_command
from latentline.package.manifest import SearchSettings
from latentline.package.model_package import SEARCH_STEP
from trainer.networks.frozen import freeze
from trainer.reference.search import loss_and_gradient, search_loss

PAUSE = 0.03  # seconds
CHECKED_STEPS = 3


def milliseconds(action: Callable[[], object]) -> float:
    """Time of one call, after a pause."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - start)


def equality(problem: SearchProblem, searcher: OpenVinoSearcher, searches: dict[str, Search]) -> dict[str, float]:
    """How equal the results are: the gradient to float64, z and loss after some steps to the naive loop."""
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


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All figures of a run, by name."""
    torch.set_num_threads(options.threads)
    problem = make_problem(options.checkpoint, options.px)
    settings = SearchSettings(seed=0, iterations=options.iterations, learning_rate=LEARNING_RATE, gamma=GAMMA, lam=LAM)
    model = export_model(problem.generator, problem.discriminator, None, settings)
    searcher = OpenVinoSearcher(model, options.threads)
    searches = {
        "naive": torch_search(problem, optimised=False),
        "frozen": torch_search(problem, optimised=True),
        "exported": exported_search(problem, searcher),
        "onnxruntime": onnxruntime_search(problem, model.graphs[SEARCH_STEP], options.threads),
    }
    product, product_operations = gemm(options.threads)
    result: dict[str, object] = {**equality(problem, searcher, searches)}
    times: dict[str, list[float]] = {name: [] for name in [*searches, "gemm"]}
    for repeat in range(-2, options.repeats):  # the first two warm up
        for name in times:
            elapsed = milliseconds(product if name == "gemm" else partial(searches[name], 1))
            if repeat >= 0:
                times[name].append(elapsed)
    whole: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(max(5, options.repeats // 4)):
        for name, search in searches.items():
            whole[name].append(milliseconds(partial(search, options.iterations)))
    searcher.close()
    operations = 2.0 * graph_cost(model.graphs[SEARCH_STEP], SEARCH_STEP, 1, "fp32").multiply_adds
    return result | _figures(times, whole, operations / product_operations) | _conditions(options, problem, operations)


def _figures(times: dict[str, list[float]], whole: dict[str, list[float]], work: float) -> dict[str, object]:
    """Medians, p10 and p90; `work`: operations of a search step over those of the matrix product."""
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


def _conditions(options: argparse.Namespace, problem: SearchProblem, operations: float) -> dict[str, object]:
    return {
        "px": problem.generator.resolution,
        "channels": problem.generator.channels,
        "iterations": options.iterations,
        "repeats": options.repeats,
        "threads": options.threads,
        "step_gflop": operations / 1e9,
        "machine": processor(),
        "versions": f"torch {torch.__version__}, openvino {ov.__version__.split('-')[0]}, "
        f"onnxruntime {onnxruntime.__version__}",
    }


def table(result: dict[str, object]) -> str:
    """The figures as text."""
    lines = [
        f"{result['px']} px, {result['channels']} channels, {result['step_gflop']:.2f} GFLOP a step (folded), "
        f"{counted(int(str(result['threads'])), 'thread')}, {result['machine']}, {result['versions']}",
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
    parser = bench_parser(__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", help="take its networks (default: random ones)")
    parser.add_argument("--px", type=int, default=64, help="resolution of the random networks (64)")
    parser.add_argument("--iterations", type=int, default=50, help="of the whole search (50)")
    parser.add_argument("--repeats", type=int, default=24, help="timed steps of each way (24)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each way (2)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    result = measure(options)
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

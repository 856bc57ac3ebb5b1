"""Does TensorRT-RTX run on this GPU? python -m bench.gpu.rtx_probe [ONNX]   A line for each target; it judges nothing.

Its documentation names compute capability 7.5, 8.6, 8.9, 12.0 and 12.1, and its library refuses others by name: on a
GPU of 9.0 a refusal is expected. A refusal is a fact for the documentation; a success would open all of `doctor`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from latentline.backends.tensorrt.graphs.prepare import prepare_graph

GENERATOR = Path(__file__).resolve().parents[2] / "edge_runtime/tools/demo/model/generator.onnx"
ROWS = 4  # that the engine takes


def main() -> int:
    """Try each target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", type=Path, nargs="?", default=GENERATOR)
    path = parser.parse_args().onnx
    try:
        import tensorrt_rtx as trt
    except ImportError as error:
        print(f"TensorRT-RTX cannot be imported: {error}")
        return 1
    graph = prepare_graph(path.read_bytes(), path.name, "fp32")
    print(f"{trt.__version__} knows {', '.join(trt.ComputeCapability.__members__)}")
    targets = {
        "every GPU it supports": None,
        "this GPU": trt.ComputeCapability.CURRENT,
        "8.0": trt.ComputeCapability.SM80,
        "8.9": trt.ComputeCapability.SM89,
        "9.0, which it does not name": trt.ComputeCapability(90),
    }
    messages: list[str] = []
    logger = _logger(trt, messages)  # TensorRT keeps the first that it is given
    for name, target in targets.items():
        messages.clear()
        try:
            said = _tried(trt, logger, graph, target)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:200]
        print(f"{name}: {said}", *messages[-3:], flush=True)
    return 0


def _tried(trt: Any, logger: Any, graph: bytes, target: Any) -> str:
    """Build an engine for `target` and load it; what came of it. Raises what TensorRT-RTX raises."""
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    if not trt.OnnxParser(network, logger).parse(graph):
        return "the graph is refused"
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for port in (network.get_input(i) for i in range(network.num_inputs)):
        row = tuple(port.shape)[1:]
        profile.set_shape(port.name, (1, *row), (ROWS, *row), (ROWS, *row))
    config.add_optimization_profile(profile)
    if target is not None:
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(target, 0):
            return "the builder refuses this target"
    start = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return "no engine was built"
    built = f"built in {time.perf_counter() - start:.1f} s"
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        return f"{built}, {plan.nbytes} bytes; not loaded"
    return f"{built}, loaded; execution {'made' if engine.create_execution_context() else 'refused'}"


def _logger(trt: Any, messages: list[str]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.WARNING:
                messages.append(" ".join(message.split())[:400])

    return Logger()


if __name__ == "__main__":
    raise SystemExit(main())

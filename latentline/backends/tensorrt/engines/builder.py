"""Build one TensorRT engine: one code path for TensorRT 10.3 to 11.x and TensorRT-RTX, whose module is a parameter.

Networks are always strongly typed: TensorRT builds the types that the graph states. TensorFloat-32 is off, because it
would silently round the factors of a float32 network to eleven bits.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from latentline.backends.settings import Precision
from latentline.backends.tensorrt.gpu.plan import LARGEST_FRAME
from latentline.backends.tensorrt.graphs.precision import HALF_PORTS
from latentline.errors import EngineError

log = logging.getLogger(__name__)

USUAL_FRAME = (480, 640)  # px, height and width
WORKSPACE = 1 << 30  # bytes, the default limit of scratch memory while building and running
PROGRESS_SECONDS = 2.0
Progress = Callable[[str], None]
ComputeCapability = tuple[int, int]


@dataclass(frozen=True)
class BuiltEngine:
    """A serialised engine, and timings that make the next build on this GPU quicker (empty: none)."""

    plan: bytes
    timing_cache: bytes


def version_of(trt: Any) -> str:
    """E.g. "tensorrt 10.3.0": flavour and version, part of an engine's fingerprint."""
    return f"{trt.__name__} {trt.__version__}"


def build_engine(
    trt: Any,
    graph: bytes,
    name: str,
    precision: Precision,
    batch: int,
    *,
    tile_size: int = 64,
    workspace_bytes: int = WORKSPACE,
    timing_cache: bytes = b"",
    compute_capability: ComputeCapability | None = None,
    progress: Progress = log.info,
) -> BuiltEngine:
    """The engine of a graph from `prepare_graph`.

    name                begins each message
    batch               the engine takes 1 to `batch` rows and is tuned for `batch`
    tile_size           px; an engine whose input may have any size takes one frame at a time, from a tile's size to
                        LARGEST_FRAME a side, and is tuned for USUAL_FRAME
    timing_cache        of an earlier build; ignored when it is for another GPU or version
    compute_capability  of the GPU to build for, where TensorRT-RTX has no GPU at hand; TensorRT uses the one here
    progress            gets a line every few seconds; a build takes seconds to many minutes
    Raises EngineError in one sentence: no GPU, the graph refused, another precision than asked, or the build failed.
    """
    messages: deque[str] = deque(maxlen=20)
    logger = _logger(trt, messages)
    try:
        builder = trt.Builder(logger)
    except (TypeError, RuntimeError):  # from pybind11, when TensorRT's factory returns nullptr
        raise EngineError(
            f"{version_of(trt)} cannot start here{_last(messages)}; it builds on the machine whose GPU will run the "
            "engine, with its driver in order"
        ) from None
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        faults = [parser.get_error(index) for index in range(parser.num_errors)]
        raise EngineError(
            f"{name}: {version_of(trt)} refuses the graph{_fault(faults) or _last(messages)}; "
            "export the package again, or report this"
        )
    check_precision(trt, network, name, precision)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    config.max_aux_streams = 0  # the search is one stream from end to end
    config.clear_flag(trt.BuilderFlag.TF32)
    if _is_rtx(config):
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # an engine that allocates cannot be captured
    _set_target(trt, config, compute_capability)
    config.add_optimization_profile(_profile(builder, network, batch, tile_size))
    config.progress_monitor = _monitor(trt, name, progress)
    timings = _attach_timings(config, timing_cache, name)
    start = monotonic()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(
            f"{name}: {version_of(trt)} could not build the engine{_last(messages)}; "
            "try a larger --workspace or a smaller --batch"
        )
    progress(f"{name}: built for {precision} in {monotonic() - start:.1f} s")
    return BuiltEngine(bytes(plan), b"" if timings is None else bytes(timings.serialize()))


def check_precision(trt: Any, network: Any, name: str, precision: Precision) -> None:
    """Check that a parsed network has the precision asked for. Raises EngineError.

    The ports must have the types of the contract, each convolution must give the precision's type, and in fp16 at least
    one layer must give half.
    """
    half, single = trt.DataType.HALF, trt.DataType.FLOAT
    real = half if precision == "fp16" else single
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    for port in inputs + [network.get_output(i) for i in range(network.num_outputs)]:
        wanted = real if port.name in HALF_PORTS else single
        if port.dtype != wanted:
            raise EngineError(
                f"{name}: '{port.name}' is {port.dtype.name} and {precision} needs {wanted.name}; "
                "prepare the graph for this precision"
            )
    convolutions = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION)
    found = []
    for layer in (network.get_layer(i) for i in range(network.num_layers)):
        if layer.type not in (*convolutions, trt.LayerType.MATRIX_MULTIPLY):
            continue
        found.append(layer.get_output(0).dtype)
        if (layer.type in convolutions and found[-1] != real) or found[-1] not in (real, single):
            raise EngineError(
                f"{name}: the layer '{layer.name}' computes in {found[-1].name}, and {precision} was asked for; "
                "prepare the graph for this precision"
            )
    if real not in found:
        raise EngineError(f"{name}: no layer computes in {precision}, which was asked for; prepare the graph for it")


def _profile(builder: Any, network: Any, batch: int, tile_size: int) -> Any:
    """A profile that lets the first dimension of every input be 1 to `batch`, or one frame have any size."""
    profile = builder.create_optimization_profile()
    for port in (network.get_input(i) for i in range(network.num_inputs)):
        row = tuple(port.shape)[1:]
        if -1 in row:
            usual = (1, row[0], *(max(side, tile_size) for side in USUAL_FRAME))
            profile.set_shape(
                port.name, (1, row[0], tile_size, tile_size), usual, (1, row[0], LARGEST_FRAME, LARGEST_FRAME)
            )
        else:
            profile.set_shape(port.name, (1, *row), (batch, *row), (batch, *row))
    return profile


def _set_target(trt: Any, config: Any, compute_capability: ComputeCapability | None) -> None:
    """Set the GPU to build for. TensorRT-RTX can build for an absent GPU; TensorRT builds for the one here."""
    if compute_capability is None or not _is_rtx(config):
        return
    major, minor = compute_capability
    targets = trt.ComputeCapability.__members__
    if f"SM{major}{minor}" not in targets:
        known = sorted((target[2:] for target in targets if target.startswith("SM")), key=int)
        raise EngineError(
            f"{version_of(trt)} builds for compute capability {', '.join(f'{k[:-1]}.{k[-1]}' for k in known)} and not "
            f"for {major}.{minor}; use --tensorrt tensorrt on the machine with that GPU"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(targets[f"SM{major}{minor}"], 0)


def _attach_timings(config: Any, content: bytes, name: str) -> Any:
    """Give `config` a timing cache, from `content` where it fits, else an empty one. None for TensorRT-RTX."""
    if _is_rtx(config):
        return None
    for candidate in (content, b""):
        cache = config.create_timing_cache(candidate)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
        log.info("%s: the kept timings are for another GPU or TensorRT; measuring again", name)
    return None


def _is_rtx(config: Any) -> bool:
    """Whether this is TensorRT-RTX, which times nothing and can build for an absent GPU."""
    return hasattr(config, "num_compute_capabilities")


def _logger(trt: Any, messages: deque[str]) -> Any:
    """A logger that passes TensorRT's messages to ours, and keeps warnings and errors for an error message."""
    base = trt.ILogger
    levels = {
        base.INTERNAL_ERROR: logging.ERROR,
        base.ERROR: logging.ERROR,
        base.WARNING: logging.WARNING,
        base.INFO: logging.DEBUG,
        base.VERBOSE: logging.NOTSET,
    }

    class Logger(base):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity, logging.INFO)
            if level >= logging.WARNING:
                messages.append(message)
            if level:
                log.log(level, "TensorRT: %s", message)

    return Logger()


def _monitor(trt: Any, name: str, progress: Progress) -> Any:
    """A monitor that reports the progress of the build every few seconds."""
    base = trt.IProgressMonitor

    class Monitor(base):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            base.__init__(self)
            self._steps: dict[str, int] = {}
            self._start = self._last = monotonic()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            now = monotonic()
            if now - self._last >= PROGRESS_SECONDS:
                self._last = now
                total = self._steps.get(phase_name, step + 1)
                progress(f"{name}: {phase_name}, {step + 1} of {total}, {now - self._start:.0f} s")
            return True  # go on

    return Monitor()


def _fault(faults: list[Any]) -> str:
    """The parser's first error, with its node."""
    if not faults:
        return ""
    place = f" at node {faults[0].node()}" if faults[0].node() >= 0 else ""
    return f"{place} ({_one_line(faults[0].desc())})"


def _last(messages: deque[str]) -> str:
    """TensorRT's last warning or error, in brackets."""
    return f" ({_one_line(messages[-1])})" if messages else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]

"""`latentline-export engines`: fill the engine cache before a station's first start. Runs without PyTorch.

TensorRT builds for the GPU of this machine, TensorRT-RTX also for a GPU in another one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from latentline.backends.settings import Flavour, GpuSettings, Precision
from latentline.backends.tensorrt.engines.builder import ComputeCapability, Progress, version_of
from latentline.backends.tensorrt.engines.engine_set import EngineSet
from latentline.backends.tensorrt.fp16.check import HalfReport, check_half
from latentline.backends.tensorrt.gpu.kernel_cache import cached_kernels, cached_loop
from latentline.backends.tensorrt.gpu.presence import import_pycuda, import_tensorrt
from latentline.backends.tensorrt.gpu.supported import require_supported
from latentline.errors import BackendError, EngineError
from latentline.package.model_package import load_package


@dataclass(frozen=True)
class EngineReport:
    """The engines of a package.

    found       state of each graph in the cache before: "ready", "missing", or "stale: " and the reason
    plan_bytes  size of each graph's engine
    half_check  how much fp16 changes the scores; None for fp32
    """

    tensorrt: str
    compute_capability: str
    precision: Precision
    batch: int
    cache: str
    found: dict[str, str]
    plan_bytes: dict[str, int]
    half_check: HalfReport | None


def build_engines(
    path: Path,
    settings: GpuSettings,
    compute_capability: ComputeCapability | None,
    progress: Progress,
) -> EngineReport:
    """Build the engines of the package at `path` that the cache does not have.

    compute_capability  of the target; None: of the GPU in this machine
    Raises PackageError, BackendError, EngineError and VerificationError.
    """
    package = load_package(path)
    require_supported(package)
    trt = import_tensorrt(settings.tensorrt)
    capability, gpu = _target(settings.tensorrt, compute_capability)
    engines = EngineSet.of(package, settings, trt, capability, gpu)
    sets = [engines]
    if package.trunk is not None:
        sets.append(EngineSet.of_trunk(package, settings, trt, capability, gpu))
    found = {graph: state for some in sets for graph, state in some.states().items()}
    plans = {graph: plan for some in sets for graph, plan in some.plans(progress).items()}
    cached_kernels(engines.cache, capability, settings.precision)
    with suppress(EngineError):  # from an old NVRTC, without which a search needs more room in its graph
        cached_loop(engines.cache, capability)
    return EngineReport(
        tensorrt=version_of(trt),
        compute_capability="{}.{}".format(*capability),
        precision=settings.precision,
        batch=engines.batch,
        cache=str(engines.cache.folder),
        found=found,
        plan_bytes={graph: len(plan) for graph, plan in plans.items()},
        half_check=check_half(package, engines.cache, progress) if settings.precision == "fp16" else None,
    )


def _target(flavour: Flavour, requested: ComputeCapability | None) -> tuple[ComputeCapability, str]:
    """The compute capability to build for, and the name of the GPU, empty for one in another machine.

    Raises EngineError when there is no such target for this flavour.
    """
    if requested is not None:
        if flavour == "tensorrt":
            raise EngineError(
                "TensorRT builds for the GPU of this machine only; leave out --compute-capability, or build with "
                "--tensorrt tensorrt_rtx"
            )
        return requested, ""
    try:
        device = import_pycuda().Device(0)
    except BackendError as error:
        remedy = (
            "give the station's with --compute-capability, for example 8.9"
            if flavour == "tensorrt_rtx"
            else "run this command on the station, or see --tensorrt tensorrt_rtx"
        )
        raise EngineError(f"this machine has no GPU to build for ({error}); {remedy}") from None
    return device.compute_capability(), device.name()

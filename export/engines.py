"""`latentline-export engines`: fill the engine cache ahead of a station's first start. Runs without PyTorch.

TensorRT builds on the machine that has the GPU. TensorRT-RTX can build for a GPU that is elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from latentline.backends.settings import Flavour, GpuSettings, Precision
from latentline.backends.tensorrt.engines.builder import ComputeCapability, Progress, version_of
from latentline.backends.tensorrt.engines.engine_set import EngineSet
from latentline.backends.tensorrt.fp16.check import HalfReport, check_half
from latentline.backends.tensorrt.gpu.kernel_cache import cached_kernels
from latentline.backends.tensorrt.gpu.presence import import_pycuda, import_tensorrt
from latentline.backends.tensorrt.gpu.supported import require_supported
from latentline.errors import BackendError, EngineError
from latentline.package.model_package import load_package


@dataclass(frozen=True)
class EngineReport:
    """What was built or found.

    found       what the cache said of each graph before: "ready", "missing" or "stale: " and why
    plan_bytes  size of each graph's engine
    half_check  what fp16 does to the model, None for fp32
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
    """Build the engines of the package at `path` that are not in the cache.

    compute_capability  None: of the GPU that is here
    Raises PackageError, BackendError, EngineError, VerificationError.
    """
    package = load_package(path)
    require_supported(package)
    trt = import_tensorrt(settings.tensorrt)
    capability, gpu = _target(settings.tensorrt, compute_capability)
    engines = EngineSet.of(package, settings, trt, capability, gpu)
    found = engines.states()
    plans = engines.plans(progress)
    cached_kernels(engines.cache, capability, settings.precision)
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


def _target(flavour: Flavour, asked: ComputeCapability | None) -> tuple[ComputeCapability, str]:
    """The compute capability to build for, and the GPU's name where it is here.

    Raises EngineError when they can only be guessed or not be had.
    """
    if asked is not None:
        if flavour == "tensorrt":
            raise EngineError(
                "TensorRT builds for the GPU of this machine only; leave out --compute-capability, or build with "
                "--tensorrt tensorrt_rtx"
            )
        return asked, ""
    try:
        device = import_pycuda().Device(0)
    except BackendError as error:
        way_out = (
            "give the station's with --compute-capability, for example 8.9"
            if flavour == "tensorrt_rtx"
            else "run this command on the station, or see --tensorrt tensorrt_rtx"
        )
        raise EngineError(f"there is no GPU here to build for ({error}); {way_out}") from None
    return device.compute_capability(), device.name()

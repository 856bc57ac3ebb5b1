"""Choose the backend, and keep the reason."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.openvino.trunk import open_trunk
from latentline.backends.settings import Backend, GpuSettings
from latentline.backends.tensorrt.gpu.presence import import_pycuda, import_tensorrt
from latentline.backends.tensorrt.gpu.supported import require_supported
from latentline.errors import BackendError, EngineError, VerificationError
from latentline.inspection.overlapped_reconstructor import OverlappedReconstructor
from latentline.inspection.reconstructor import Reconstructor
from latentline.package.model_package import ModelPackage
from latentline.trunk.extractor import TestedExtractor

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedBackend:
    """An opened, self-tested reconstructor, and the reason for this backend."""

    reconstructor: Reconstructor
    reason: str


def open_reconstructor(
    package: ModelPackage, backend: Backend = "auto", gpu: GpuSettings | None = None, threads: int | None = None
) -> OpenedBackend:
    """Open the backend that was asked for; "auto": TensorRT where it works on this machine, else OpenVINO.

    Raises PackageError or VerificationError when the model cannot run, BackendError or EngineError when "tensorrt" was
    asked for and cannot be used. Engines that are not in the cache are built first, which takes minutes.
    """
    if backend == "openvino":
        return OpenedBackend(_on_cpu(package, threads), "asked for")
    try:
        reconstructor, where = _on_gpu(package, gpu or GpuSettings(), threads)
    except (BackendError, EngineError, VerificationError) as error:
        if backend == "tensorrt":
            raise
        _log.info("backend openvino, because TensorRT cannot be used: %s", error)
        return OpenedBackend(_on_cpu(package, threads), f"TensorRT cannot be used: {error}")
    why = "asked for" if backend == "tensorrt" else "TensorRT works here"
    why += where
    _log.info("backend tensorrt, %s", why)
    return OpenedBackend(reconstructor, why)


def _on_cpu(package: ModelPackage, threads: int | None) -> Reconstructor:
    components = [component.name for component in package.manifest.calibration.components]
    half = package.manifest.cpu_precision == "bfloat16"
    searcher = OpenVinoSearcher(package, threads, components, half)
    try:
        host = OverlappedReconstructor(searcher, package.tiler, package.statistics)
    except BackendError:
        searcher.close()
        raise
    return package.with_trunk(host, open_trunk(package, threads))


def _on_gpu(package: ModelPackage, settings: GpuSettings, threads: int | None) -> tuple[Reconstructor, str]:
    """The reconstructor, and a remark on its trunk, empty where it is on the GPU too, or there is none."""
    require_supported(package)
    import_pycuda()
    trt = import_tensorrt(settings.tensorrt)
    from latentline.backends.tensorrt.searcher import open_tensorrt  # needs pycuda

    searcher = open_tensorrt(package, trt, settings)
    try:
        extractor, where = trunk_beside_gpu(package, trt, settings, threads)
    except BaseException:
        searcher.close()
        raise
    return package.with_trunk(searcher, extractor), where


def trunk_beside_gpu(
    package: ModelPackage, trt: Any, settings: GpuSettings, threads: int | None
) -> tuple[TestedExtractor | None, str]:
    """The trunk of a package for a search on the GPU: on the GPU as well, else on the CPU, and a remark that says why.

    None and no remark where the package has none. Raises PackageError and VerificationError when the CPU cannot run it
    either.
    """
    if package.trunk is None:
        return None, ""
    from latentline.backends.tensorrt.trunk import open_tensorrt_trunk  # needs pycuda

    try:
        return open_tensorrt_trunk(package, trt, settings), ""
    except (BackendError, EngineError, VerificationError) as error:
        _log.warning("the trunk runs on the CPU beside the search on the GPU: %s", error)
        return open_trunk(package, threads), f", with the trunk on the CPU: {error}"

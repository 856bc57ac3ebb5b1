"""Which packages the GPU backend runs: those with a search, and a map that its kernels compute."""

from __future__ import annotations

from latentline.backends.tensorrt.gpu.launch import KINDS
from latentline.errors import BackendError
from latentline.package.model_package import ModelPackage
from latentline.package.selftest import SelfTest


def require_supported(package: ModelPackage) -> SelfTest:
    """The self-test of a package that the GPU backend runs. For any other, raises BackendError with the reason."""
    name, kind = package.manifest.name, package.statistics.kind
    if not isinstance(package.selftest, SelfTest):
        raise BackendError(
            f"{name} is a model of method {package.manifest.method}, which has no search for the GPU to run; "
            "use backend openvino"
        )
    if kind not in KINDS:
        raise BackendError(
            f"{name} compares frame and reconstruction by map {kind}, and the GPU backend has only maps "
            f"{', '.join(KINDS)}; use backend openvino"
        )
    return package.selftest

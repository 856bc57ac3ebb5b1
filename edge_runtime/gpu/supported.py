"""Which packages the GPU backend runs: the search of a GAN and the map of its signed residual."""

from __future__ import annotations

from edge_runtime.model_package import ModelPackage
from edge_runtime.selftest import SelfTest
from latentline.errors import BackendError


def require_supported(package: ModelPackage) -> SelfTest:
    """The self-test of a package that the GPU backend runs. Raises BackendError for any other, saying why."""
    name, kind = package.manifest.name, package.statistics.kind
    if not isinstance(package.selftest, SelfTest):
        raise BackendError(
            f"{name} is a model of method {package.manifest.method}, which has no search for the GPU to run; "
            "use backend cpu"
        )
    if kind != "residual":
        raise BackendError(
            f"{name} compares frame and reconstruction by map {kind}, and the GPU backend has map residual only; "
            "use backend cpu"
        )
    return package.selftest

"""bfloat16 on the CPU: where it may be used, and how far it may move scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from latentline.backends.openvino.request_pool import has_bfloat16
from latentline.errors import BackendError, ConfigError, VerificationError
from latentline.package.model_package import ModelPackage
from latentline.scoring.tuning import CpuPrecision

Float64 = npt.NDArray[np.float64]
MOST_MOVED = 0.1  # of the score of any normal image, in standard deviations of normal scores; measured: 0.04


def in_precision(package: ModelPackage, precision: CpuPrecision) -> ModelPackage:
    """The package with its networks in this precision on a CPU."""
    manifest = package.manifest.model_copy(update={"cpu_precision": precision})
    return replace(package, spec=manifest, manifest=manifest)


def check_precision(package: ModelPackage) -> None:
    """Raise ConfigError or BackendError where a package in bfloat16 cannot have it, or this processor does not."""
    if package.manifest.cpu_precision == "float32":
        return
    if not package.manifest.has_search_step:
        raise ConfigError(
            f"{package.manifest.name} is of method {package.manifest.method}, whose self-test needs float32; leave out "
            "--precision"
        )
    if not has_bfloat16():
        raise BackendError("this processor does not compute in bfloat16; use --precision float32")


def check_moved(name: str, half: Float64, exact: Float64) -> None:
    """Raise VerificationError where bfloat16 moves the scores [N] of normal images too far."""
    worst = float(np.abs(half - exact).max() / (exact.std() + 1e-6))
    if not worst <= MOST_MOVED:
        raise VerificationError(
            f"{name}: bfloat16 moves the score of a normal image by {worst:.2g} standard deviations of normal scores, "
            f"and {MOST_MOVED:g} is allowed; use --precision float32"
        )

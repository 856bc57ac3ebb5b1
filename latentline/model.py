"""Open a model package for inspection: what a station calls once at start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from latentline.backends.select import open_reconstructor
from latentline.backends.settings import Backend, GpuSettings
from latentline.inspection.inspector import Inspector
from latentline.inspection.result import InspectionResult
from latentline.package.baseline import NormalBaseline
from latentline.package.identity import ModelIdentity
from latentline.package.model_package import ModelPackage, load_package


class Model:
    """A checked package with an opened, self-tested backend. Close it, or use it as a context manager.

    reason  why it is this backend
    """

    def __init__(
        self, package: ModelPackage, backend: Backend, gpu: GpuSettings | None = None, threads: int | None = None
    ) -> None:
        chosen = open_reconstructor(package, backend, gpu, threads)
        self.package = package
        self.reason = chosen.reason
        self.identity: ModelIdentity = package.identity(chosen.reconstructor.name)
        self._inspector = Inspector(chosen.reconstructor, package.manifest.calibration)

    @property
    def baseline(self) -> NormalBaseline:
        """What the line looked like at the calibration."""
        package = self.package
        return NormalBaseline(
            package.normal_scores, package.normal_brightness, package.manifest.calibration.false_alarm_rate
        )

    @property
    def ahead(self) -> int:
        """How many frames may be begun before the first of them is finished."""
        return self._inspector.reconstructor.ahead

    def begin(self, image: npt.NDArray[np.uint8], /) -> Callable[[], InspectionResult]:
        """Begin a frame; what is returned finishes it, in the order of beginning. Raises ImageError."""
        return self._inspector.begin(image)

    def inspect(self, image: npt.NDArray[np.uint8], /) -> InspectionResult:
        """Judge a frame uint8 [H, W] or [H, W, C] of any size. Raises ImageError when it is no usable picture."""
        return self._inspector.inspect(image)

    def close(self) -> None:
        """Release the backend."""
        self._inspector.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_model(
    path: Path, backend: Backend = "auto", gpu: GpuSettings | None = None, threads: int | None = None
) -> Model:
    """Load, check and self-test the package at `path`. Raises PackageError, and what `open_reconstructor` raises."""
    return Model(load_package(path), backend, gpu, threads)

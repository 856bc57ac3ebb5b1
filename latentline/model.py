"""An opened model package: what inspects pictures, in a program of your own and in a station alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from latentline.backends.select import open_reconstructor
from latentline.backends.settings import Backend, GpuSettings
from latentline.inspection.inspector import Inspector
from latentline.inspection.result import InspectionResult
from latentline.package.baseline import NormalBaseline
from latentline.package.identity import ModelIdentity
from latentline.package.model_package import Admit, ModelPackage, load_package
from latentline.vision.bit_depth import Image


class Model(Inspector):
    """A checked package with an opened, self-tested backend. One thread at a time may use it. Close it after use.

    package   the content of the model package
    identity  name, sha256, backend and thresholds
    reason    why this backend was chosen, in a few words
    """

    def __init__(
        self,
        package: ModelPackage,
        backend: Backend = "auto",
        gpu: GpuSettings | None = None,
        threads: int | None = None,
    ) -> None:
        opened = open_reconstructor(package, backend, gpu, threads)
        manifest = package.manifest
        preprocessing = manifest.preprocessing
        super().__init__(opened.reconstructor, manifest.calibration, preprocessing.bit_depth, preprocessing.region)
        self.package = package
        self.reason = opened.reason
        self.identity: ModelIdentity = package.identity(opened.reconstructor.name)

    @property
    def threshold(self) -> float:
        """The anomaly score above which an image is abnormal."""
        return self.identity.threshold

    @property
    def baseline(self) -> NormalBaseline:
        """Scores and grey levels of the normal images behind the threshold."""
        package = self.package
        return NormalBaseline(
            package.normal_scores, package.normal_brightness, package.manifest.calibration.false_alarm_rate
        )

    def inspect_many(self, images: Iterable[Image], /) -> Iterator[InspectionResult]:
        """The result of each image, in order; on a GPU the next image uploads while one is searched.

        Raises ImageError at the first image that cannot be used.
        """
        pending: deque[Callable[[], InspectionResult]] = deque()
        for image in images:
            pending.append(self.begin(image))
            if len(pending) >= self.ahead:
                yield pending.popleft()()
        while pending:
            yield pending.popleft()()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_model(
    path: str | Path,
    backend: Backend = "auto",
    *,
    gpu: GpuSettings | None = None,
    threads: int | None = None,
    admit: Admit | None = None,
) -> Model:
    """Load, check and self-test the model package at `path`, a folder or a .zip.

    backend  "openvino": the CPU; "tensorrt": an NVIDIA GPU; "auto": the GPU where it works, else the CPU
    gpu      how TensorRT builds and runs; None: float32, as suits the tile size
    threads  CPU threads; None: all cores that this process may use
    admit    refuses packages whose signature it does not trust, by raising PackageError; None: open any

    Raises PackageError for a missing, damaged or foreign package, VerificationError when the backend fails the
    package's self-test, BackendError or EngineError when "tensorrt" was asked for and cannot be used. The first start
    on a GPU builds the engines, which takes minutes.
    """
    return Model(load_package(Path(path), admit), backend, gpu, threads)

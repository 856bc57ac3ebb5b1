"""What the driver checks run on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentline.backends.settings import GpuSettings, Precision
from latentline.backends.tensorrt.gpu.presence import import_pycuda, import_tensorrt
from latentline.package.model_package import ModelPackage
from tests.fake_cuda.build import CACHE
from tests.fake_cuda.driver import FakeDriver
from tests.fake_cuda.host_kernels import build_host_kernels
from tests.gpu.standin.torch_engine import TorchStandIn

if TYPE_CHECKING:  # it imports pycuda, which must find the emulation loaded
    from latentline.backends.tensorrt.searcher import TensorRtSearcher


@dataclass(frozen=True)
class Rig:
    """A driver and what stands for TensorRT on it.

    trt        the module `tensorrt`, or a stand-in
    emulation  the tests-only driver that this process has loaded; None: a GPU's
    cache      folder of engines and kernels
    precisions  that the checks go through
    """

    trt: Any
    cache: Path = field(default_factory=lambda: Path(tempfile.gettempdir()) / "latentline-driver-checks")
    emulation: FakeDriver | None = None
    precisions: Sequence[Precision] = ("fp32", "fp16")

    @classmethod
    def here(cls, emulated: bool) -> Rig:
        """For a program: the GPU with `import tensorrt`, or the tests-only driver with PyTorch's engines.

        Raises BackendError without TensorRT, or something in its place; ToolchainMissing without a compiler.
        """
        if not emulated:
            return cls(import_tensorrt())
        return cls(TorchStandIn("cpu"), emulation=FakeDriver.load())

    @contextmanager
    def opened(
        self,
        package: ModelPackage,
        precision: Precision = "fp32",
        batch: int | None = None,
        *,
        unrolled: bool = False,
    ) -> Iterator[TensorRtSearcher]:
        """A searcher, without loops if `unrolled`, closed in the end.

        Raises BackendError, EngineError, VerificationError.
        """
        from latentline.backends.tensorrt.searcher import open_tensorrt

        if self.emulation is not None:
            self.emulation.use_kernels(build_host_kernels(precision, CACHE))
        settings = GpuSettings(precision=precision, batch=batch, cache=self.cache)
        searcher = open_tensorrt(package, self.trt, settings, unrolled=unrolled)
        try:
            yield searcher
        finally:
            searcher.close()

    def count(self, on_gpu: int, emulated: int) -> int:
        """How often to repeat something: a GPU is fast, the emulation is not."""
        return on_gpu if self.emulation is None else emulated

    def free_mib(self) -> int | None:
        """The GPU's free memory in MiB, in the context that is current; None on the emulation, which has no such."""
        if self.emulation is not None:
            return None
        free, _ = import_pycuda().mem_get_info()
        return int(free) >> 20

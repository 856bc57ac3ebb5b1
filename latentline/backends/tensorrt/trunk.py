"""A package's trunk on an NVIDIA GPU: one engine, one CUDA graph, once for each frame. Always float32.

Half precision would go straight into the score, through the whitening, which magnifies small differences.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from latentline.backends.selftest_check import check_trunk
from latentline.backends.settings import GpuSettings
from latentline.backends.tensorrt.engines.engine_set import EngineSet
from latentline.backends.tensorrt.gpu.device import Device
from latentline.backends.tensorrt.gpu.trunk_session import TrunkSession
from latentline.package.model_package import TRUNK, ModelPackage
from latentline.trunk.extractor import trunk_picture
from latentline.trunk.packaged import TrunkGraph

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


class TensorRtTrunk:
    """`FeatureExtractor` on a GPU. Only the thread that opens it may use it.

    device  open; `close` closes it
    trt     the TensorRT module
    plan    the trunk's engine
    Opening runs the trunk's self-test. Raises BackendError, EngineError, VerificationError.
    """

    name = "tensorrt"

    def __init__(self, device: Device, trunk: TrunkGraph, trt: Any, plan: bytes) -> None:
        self._network, self._test = trunk.network, trunk.test
        self._session = TrunkSession(device, trunk.network, trt, plan)
        self._release = weakref.finalize(self, self._session.close)
        try:
            self.self_test()
        except BaseException:
            self.close()
            raise

    def features(self, frame: UInt8) -> Float:
        """As `FeatureExtractor.features`. Raises BackendError when the GPU fails."""
        network = self._network
        picture = trunk_picture(frame, network.height, network.width, network.input_channels)
        return np.asarray(self._session.run(picture)[0])

    def self_test(self) -> float:
        """Relative error on the trunk's self-test. Raises VerificationError when it is too large."""
        return check_trunk(self._session.run, self._test)

    def close(self) -> None:
        """Release the GPU. Closing twice does nothing."""
        self._release()


def open_tensorrt_trunk(package: ModelPackage, trt: Any, settings: GpuSettings) -> TensorRtTrunk:
    """The trunk of a package that has one, on the first GPU. Its engine comes from the cache, or is built now.

    Raises BackendError, EngineError, VerificationError.
    """
    assert package.trunk is not None
    device = Device()
    try:
        engines = EngineSet.of_trunk(package, settings, trt, device.compute_capability, device.name)
        plan = engines.plans()[TRUNK]
    except BaseException:
        device.close()
        raise
    return TensorRtTrunk(device, package.trunk, trt, plan)

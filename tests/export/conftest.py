"""The real TensorRT-RTX, for the command that builds engines."""

from tests.latentline.backends.tensorrt.conftest import rtx

__all__ = ["rtx"]

"""`import tensorrt` finds PyTorch standing in for it where this folder is on PYTHONPATH."""

from __future__ import annotations

import sys
from typing import Any

from tests.gpu.standin.torch_engine import TorchStandIn

_module: Any = TorchStandIn()
_module.__spec__, _module.__file__ = __spec__, __file__  # torch.export asks every imported module for its spec
sys.modules[__name__] = _module

"""Visual inspection that learns from good parts. Inspect images with a model package:

    with latentline.open_model("my-model.zip") as model:
        result = model.inspect(image)

Everything else in this package serves trainer, exporter and station, and may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latentline.errors import (
        BackendError,
        EngineError,
        ImageError,
        LatentlineError,
        PackageError,
        VerificationError,
    )
    from latentline.inspection.result import InspectionResult
    from latentline.model import Model, open_model
    from latentline.scoring.defects import Defect

__all__ = [
    "BackendError",
    "Defect",
    "EngineError",
    "ImageError",
    "InspectionResult",
    "LatentlineError",
    "Model",
    "PackageError",
    "VerificationError",
    "open_model",
]

# Where each name lives. It is imported when somebody asks for it: `latentline.errors` alone must not load OpenVINO.
_HOMES = {
    "Defect": "latentline.scoring.defects",
    "InspectionResult": "latentline.inspection.result",
    "Model": "latentline.model",
    "open_model": "latentline.model",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'latentline' has no attribute '{name}'")
    return getattr(import_module(_HOMES.get(name, "latentline.errors")), name)


def __dir__() -> list[str]:
    return __all__

"""Open model packages: a new one beside the running one, and the right one when the station starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from edge_runtime.commands.model_switch import LoadedPackage
from edge_runtime.commands.overrides import Overrides
from edge_runtime.frames.frame_inspector import FrameInspector
from latentline.backends.settings import Backend, GpuSettings
from latentline.errors import LatentlineError

Inspector = TypeVar("Inspector", bound=FrameInspector)


def load_for_switch(path: Path, backend: Backend, gpu: GpuSettings) -> LoadedPackage:
    """Load and check a package. Raises PackageError, and what opening it raises.

    backend  of the running model. "openvino" opens the model here and runs its self-test. "tensorrt" only reads the
             files; `LoadedPackage.open` then builds the engines that are not in the cache, which takes minutes
    """
    from latentline.model import Model  # needs the inference runtime
    from latentline.package.model_package import load_package

    package = load_package(path)
    if backend != "openvino":
        return LoadedPackage(package.model_hash, lambda: Model(package, backend, gpu))
    opened = Model(package, backend)
    return LoadedPackage(package.model_hash, lambda: opened)


@dataclass(frozen=True)
class FirstModel(Generic[Inspector]):
    """The model that a station starts with. fault: why it is not the one that a command had switched to, or None."""

    inspector: Inspector
    fault: str | None = None


def open_first_model(
    open_model: Callable[[Path], Inspector], configured: Path, folder: Path | None, overrides: Overrides
) -> FirstModel[Inspector]:
    """Open the model that a command had switched to, else `configured`, the YAML's. Raises what `open_model` raises.

    folder  of the packages, `commands.models`; None: use the YAML's model
    """
    override = overrides.model
    if override is None or folder is None:
        return FirstModel(open_model(configured))
    try:
        inspector = open_model(folder / override.name)
        found = inspector.identity.sha256
        if found == override.sha256:
            return FirstModel(inspector)
        inspector.close()
        reason = f"its sha256 is {found[:12]}…, it was {override.sha256[:12]}…"
    except LatentlineError as error:
        reason = str(error)
    fault = (
        f"a command had switched to model {override.name}, which cannot be used ({reason}); "
        f"the station uses {configured} instead"
    )
    return FirstModel(open_model(configured), fault)

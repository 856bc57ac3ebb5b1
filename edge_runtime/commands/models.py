"""Model packages for a station that may be switched: prepared beside the running one, and found again at its start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from edge_runtime.commands.model_switch import Prepared
from edge_runtime.commands.persisted import Persisted
from edge_runtime.frames.frame_inspector import FrameInspector
from latentline.backends.settings import Backend, GpuSettings
from latentline.errors import LatentlineError

Opened = TypeVar("Opened", bound=FrameInspector)


def prepare_package(path: Path, backend: Backend, gpu: GpuSettings) -> Prepared:
    """Load and check a package. Raises PackageError and what opening it raises.

    backend  of the running model. "openvino" opens the model here, self-test included; "tensorrt" only reads the files,
             and builds engines that are not in the cache when the model is opened, which takes minutes
    """
    from latentline.model import Model  # needs the inference runtime
    from latentline.package.model_package import load_package

    package = load_package(path)
    if backend != "openvino":
        return Prepared(package.model_hash, lambda: Model(package, backend, gpu))
    opened = Model(package, backend)
    return Prepared(package.model_hash, lambda: opened)


@dataclass(frozen=True)
class Start(Generic[Opened]):
    """What a station begins with; `fault` is the sentence when the model that was switched to could not be had."""

    inspector: Opened
    fault: str | None = None


def open_at_start(
    open_model: Callable[[Path], Opened], configured: Path, folder: Path | None, persisted: Persisted
) -> Start[Opened]:
    """The model that a command switched to, else the YAML's `configured` one. Raises what `open_model` raises.

    folder  of the packages, `commands.models`; None: the YAML's model is used
    """
    wanted = persisted.model
    if wanted is None or folder is None:
        return Start(open_model(configured))
    try:
        inspector = open_model(folder / wanted.name)
        found = inspector.identity.sha256
        if found == wanted.sha256:
            return Start(inspector)
        inspector.close()
        reason = f"its sha256 is {found[:12]}…, it was {wanted.sha256[:12]}…"
    except LatentlineError as error:
        reason = str(error)
    fault = f"model {wanted.name}, to which a command had switched, cannot be used ({reason}); {configured} is used"
    return Start(open_model(configured), fault)

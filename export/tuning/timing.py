"""How long packages take for a frame, on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.backends.settings import Backend, GpuSettings
from latentline.model import Model
from latentline.package.model_package import ModelPackage
from latentline.scoring.tuning import Device
from latentline.vision.laid_frame import laid_frame
from latentline.vision.region import RegionOfInterest

UInt8 = npt.NDArray[np.uint8]
FRAMES = 15
TOGETHER = 8  # opened models; each holds its compiled graphs


def timed_frames(images: Sequence[UInt8], size: tuple[int, int] | None, region: RegionOfInterest | None) -> list[UInt8]:
    """Normal frames of `size` (width, height), laid of the images; None: the images as they are.

    region  of the package, to which the images are cut: then a frame of their size is as large as one around them
    """
    frames = []
    for i in range(FRAMES):
        image, own = images[i % len(images)], size
        if own is None and region is not None:
            own = region.frame_size((image.shape[1], image.shape[0]))
        frames.append(image if own is None else laid_frame(image, own, 7 * i))
    return frames


def median_milliseconds(
    packages: Sequence[ModelPackage], frames: Sequence[UInt8], device: Device, threads: int
) -> list[float]:
    """The median time that each package, opened as on a station, takes for a frame.

    Up to eight packages take turns, so that whatever else this machine does hits all alike. A frame, not timed, warms
    each of them up. Raises BackendError and EngineError where the device cannot be used.
    """
    medians: list[float] = []
    backend: Backend = "openvino" if device == "cpu" else "tensorrt"
    for start in range(0, len(packages), TOGETHER):
        with ExitStack() as stack:
            some = packages[start : start + TOGETHER]
            models = [stack.enter_context(Model(package, backend, GpuSettings(), threads)) for package in some]
            for model in models:
                model.inspect(frames[0])
            turns = tqdm(frames, unit="frame", desc="timing", delay=2, leave=False)
            taken = [[_milliseconds(model, frame) for model in models] for frame in turns]
        medians += np.median(taken, axis=0).tolist()
    return medians


def _milliseconds(model: Model, frame: UInt8) -> float:
    start = perf_counter()
    model.inspect(frame)
    return 1e3 * (perf_counter() - start)

"""Makes cameras from their settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_runtime.cameras.aravis import AravisCamera
from edge_runtime.cameras.base import Camera
from edge_runtime.cameras.device import DeviceCamera
from edge_runtime.cameras.folder import FolderCamera
from edge_runtime.cameras.folder_memory import FolderMemory
from edge_runtime.cameras.opencv import load_cv2
from edge_runtime.cameras.pipeline import PipelineCamera
from edge_runtime.cameras.settings.aravis import AravisSettings
from edge_runtime.cameras.settings.common import CommonSettings
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.settings.opencv import DeviceSettings, PipelineSettings, StreamSettings
from edge_runtime.cameras.settings.simulator import SimulatorSettings
from edge_runtime.cameras.simulator import SimulatorCamera
from edge_runtime.cameras.stream import StreamCamera
from edge_runtime.cameras.video_file import VideoFileCamera
from edge_runtime.cameras.work_journal import WorkJournal


def camera_maker(
    settings: CommonSettings, beside: Path | None = None, work: WorkJournal | None = None
) -> Callable[[], Camera]:
    """A function that makes a new camera, not yet open, with each call.

    beside  a path, such as the spool's, beside which a folder keeps the journal of its pictures; None: in memory
    work    notes which pictures are in work; None: nothing is noted
    This function and the calls raise CameraError if the kind of camera needs a library that is missing.
    """
    noted = work or WorkJournal()
    match settings:
        case DeviceSettings():
            return lambda: DeviceCamera(settings)
        case StreamSettings():
            return lambda: StreamCamera(settings) if settings.network else VideoFileCamera(settings, noted)
        case PipelineSettings():
            return lambda: PipelineCamera(settings)
        case FolderSettings():
            load_cv2()  # it decodes the pictures
            journal = settings.journal or (beside and beside.with_suffix(f".{settings.id}.journal"))
            memory = FolderMemory(settings, journal)  # shared by all attempts, so that no picture is given twice
            return lambda: FolderCamera(settings, memory, noted)
        case SimulatorSettings():
            return lambda: SimulatorCamera(settings)
        case AravisSettings():
            return lambda: AravisCamera(settings)
    raise TypeError(f"no camera for {type(settings).__name__}")

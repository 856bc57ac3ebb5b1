"""From the camera section of the YAML to a camera."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.cameras.base import Camera
from edge_runtime.cameras.folder import FolderCamera
from edge_runtime.cameras.opencv import OpenCVCamera, load_cv2
from edge_runtime.config import CameraSection


def make_camera(section: CameraSection) -> Camera:
    """The camera that `section` describes, not yet open. Raises CameraError when OpenCV is missing."""
    load_cv2()
    if section.kind == "folder":
        return FolderCamera(
            section.id, Path(str(section.source)), watch=section.watch, settle_seconds=section.settle_seconds
        )
    size = (section.width, section.height)
    return OpenCVCamera(section.id, section.source, size=size, timeout_seconds=section.stall_seconds)

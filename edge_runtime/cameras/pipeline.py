"""GStreamer pipelines, e.g. for the CSI camera of a Jetson."""

from __future__ import annotations

import re
from typing import Any

from edge_runtime.cameras.opencv import OpenCVCamera
from edge_runtime.cameras.settings.opencv import PipelineSettings
from latentline.errors import CameraError


class PipelineCamera(OpenCVCamera):
    """Reads a pipeline like `nvarguscamerasrc ! … ! appsink`."""

    def __init__(self, settings: PipelineSettings) -> None:
        super().__init__(settings.id, settings.shown, "does it run in gst-launch-1.0, with fakesink for appsink?")
        self._pipeline = settings.source
        if not re.search(r"GStreamer:\s+YES", self._cv2.getBuildInformation()):
            raise CameraError(
                f"camera {self.name}: this OpenCV ({self._cv2.__version__}) was built without GStreamer; use the "
                "system's (JetPack, or Debian's python3-opencv), or another kind of camera"
            )

    def _open(self, cv2: Any) -> Any:
        return cv2.VideoCapture(self._pipeline, cv2.CAP_GSTREAMER)

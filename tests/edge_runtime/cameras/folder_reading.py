"""Reads a folder camera to its end, for the tests of watched folders."""

from __future__ import annotations

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.folder import FolderCamera


def all_given(camera: FolderCamera, finish: bool = False) -> list[str]:
    """The names of the pictures that the camera gives; `finish`: they are inspected, too."""
    names = []
    while isinstance(frame := camera.read(), Frame):
        names.append(frame.source)
        if finish:
            camera.done(frame)
    return names

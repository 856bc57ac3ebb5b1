"""The settings of one camera, of whichever kind."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge_runtime.cameras.settings.aravis import AravisSettings
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.settings.opencv import DeviceSettings, PipelineSettings, StreamSettings
from edge_runtime.cameras.settings.simulator import SimulatorSettings

CameraSettings = Annotated[
    DeviceSettings | StreamSettings | PipelineSettings | AravisSettings | FolderSettings | SimulatorSettings,
    Field(discriminator="kind"),
]

"""The station file: all sections together, checked before anything is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.cameras.settings.kinds import CameraSettings
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.frames.settings import DriftSection
from edge_runtime.mqtt.settings import MqttSection, PictureSection
from edge_runtime.mqtt.spool.settings import SpoolSection
from edge_runtime.page.settings import PageSection
from edge_runtime.shadow.settings import ShadowSection
from edge_runtime.spelling import TOPIC_LEVEL
from edge_runtime.supervision.settings import LogSection, SupervisionSection
from latentline.backends.settings import Backend, GpuSettings
from latentline.base.strict_yaml import StrictModel, load_yaml
from latentline.errors import ConfigError


class StationSection(StrictModel):
    """Who this station is."""

    id: Annotated[str, TOPIC_LEVEL]
    """Name of the station, a level of every topic and unique on the broker: up to 64 letters, digits and `_ . -`."""


class StationConfig(StrictModel):
    """The station file. Relative paths start at the folder of this file.

    A reload applies changes of `threshold`, `drift` and `log`; changes of other keys need a restart.
    """

    station: StationSection
    """Who this station is."""

    model: Path
    """The model package: a folder or a `.zip`."""

    backend: Backend = "auto"
    """What runs the model's networks. `auto` takes `tensorrt` where an NVIDIA GPU, TensorRT and pycuda work, else
    `openvino`."""

    gpu: GpuSettings = GpuSettings()
    """How the backend `tensorrt` builds and runs its engines."""

    threshold: float | None = None
    """A frame with an anomaly score above it is abnormal. Unset: the threshold of the package."""

    cameras: tuple[CameraSettings, ...] = Field(min_length=1)
    """One or more cameras, each with an id of its own."""

    mqtt: MqttSection
    """The broker and the connection to it."""

    spool: SpoolSection = SpoolSection()
    """Events on disk until the broker has confirmed them."""

    pictures: PictureSection | None = None
    """A JPEG of each defect. Unset: none."""

    archive: ArchiveSection | None = None
    """Pictures of inspected frames with their verdicts, for people who label them. Unset: none."""

    shadow: ShadowSection | None = None
    """A candidate that sees some of the live frames beside the running model. Unset: none."""

    commands: CommandsSection = CommandsSection()
    """What may be asked of the station over MQTT."""

    page: PageSection | None = None
    """The operator page. Unset: none."""

    supervision: SupervisionSection = SupervisionSection()
    """What watches the station, and where its state can be read."""

    log: LogSection = LogSection()
    """The log."""

    drift: DriftSection | None = DriftSection()
    """When the station warns that the line has changed; `null` for never."""

    @field_validator("cameras")
    @classmethod
    def _different_ids(cls, cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
        ids = [camera.id for camera in cameras]
        if len(set(ids)) < len(ids):
            raise ValueError("two cameras have one id; give each its own")
        return cameras

    @property
    def client_id(self) -> str:
        """The MQTT client id: `mqtt.client_id`, or made from the station's."""
        return self.mqtt.client_id or f"latentline-{self.station.id}"


def load_station(path: Path) -> StationConfig:
    """Read a station file; its relative paths become absolute. Raises ConfigError."""
    config = load_yaml(path, StationConfig).resolve_paths(path.absolute().parent)
    if sentence := _shared_folder(config) or _shared_port(config):
        raise ConfigError(f"{path}: {sentence}")
    return config


def _shared_folder(config: StationConfig) -> str | None:
    """Two cameras that would take each other's pictures."""
    readers: dict[str, str] = {}
    for camera in config.cameras:
        if camera.kind == "folder":
            first = readers.setdefault(os.path.normpath(camera.source), camera.id)
            if first != camera.id:
                return f"'cameras': {first} and {camera.id} read one folder, {camera.source}; give each its own"
    return None


def _shared_port(config: StationConfig) -> str | None:
    """The operator page on the port of metrics and health pages."""
    page, pages = config.page, config.supervision
    if page is None or page.port != pages.http_port:
        return None
    if page.host != pages.http_host and not {page.host, pages.http_host} & {"0.0.0.0", "::"}:
        return None
    return f"'page.port': supervision.http_port is {page.port}, too; give one of them another port"

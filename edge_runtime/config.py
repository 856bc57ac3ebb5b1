"""The station's one YAML file: every setting, checked before anything is opened."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from edge_runtime.cameras.settings import CameraSettings
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.frames.settings import DriftSection
from edge_runtime.mqtt.settings import MqttSection, PictureSection
from edge_runtime.mqtt.spool.settings import SpoolSection
from edge_runtime.supervision.settings import LogSection, SupervisionSection
from latentline.backends.settings import Backend, GpuSettings
from latentline.base.strict_yaml import StrictModel, load_yaml

_NAME = r"^[A-Za-z0-9_.-]{1,64}$"  # one MQTT topic level: no slash, wildcard or blank


class StationSection(StrictModel):
    """Who this station is. `id` is a level of every topic: letters, digits and `_ . -`."""

    id: str = Field(pattern=_NAME)


class StationConfig(StrictModel):
    """A whole station.

    model      path of the model package, a folder or a .zip
    backend    auto: tensorrt where a GPU, TensorRT and pycuda work, else cpu; or one of these by name
    gpu        how the tensorrt backend builds and runs
    cameras    one or more; each has its own id
    pictures   a JPEG of each defect on a topic of its own; unset: none
    commands   what may be asked of the station over MQTT; nothing unless it is named
    drift      when to say that the line has changed; null: never
    threshold  unset: the package's; else the anomaly score above which a frame is abnormal
    Relative paths start at the folder of the YAML file.
    """

    station: StationSection
    model: Path
    backend: Backend = "auto"
    gpu: GpuSettings = GpuSettings()
    threshold: float | None = None
    cameras: tuple[CameraSettings, ...] = Field(min_length=1)
    mqtt: MqttSection
    spool: SpoolSection = SpoolSection()
    pictures: PictureSection | None = None
    commands: CommandsSection = CommandsSection()
    supervision: SupervisionSection = SupervisionSection()
    log: LogSection = LogSection()
    drift: DriftSection | None = DriftSection()

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
    """Read a station YAML; its relative paths become absolute. Raises ConfigError."""
    return resolve_paths(load_yaml(path, StationConfig), path.absolute().parent)


def resolve_paths(config: StationConfig, base: Path) -> StationConfig:
    """`config` with every relative path taken from `base`."""
    mqtt, tls = config.mqtt, config.mqtt.tls
    cameras = tuple(camera.at(base) for camera in config.cameras)
    if tls is not None:
        named = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
        tls = tls.model_copy(update={name: _at(base, file) for name, file in named.items()})
    mqtt = mqtt.model_copy(update={"tls": tls, "password_file": _at(base, mqtt.password_file)})
    spool = config.spool.model_copy(update={"path": _at(base, config.spool.path)})
    gpu = config.gpu.model_copy(update={"cache": _at(base, config.gpu.cache)})
    changed = {
        "cameras": cameras,
        "mqtt": mqtt,
        "spool": spool,
        "gpu": gpu,
        "commands": config.commands.at(base),
        "model": _at(base, config.model),
    }
    return config.model_copy(update=changed)


def _at(base: Path, path: Path | None) -> Path | None:
    return None if path is None else base / path.expanduser()

"""The station's one YAML file: every setting, checked before anything is opened."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from edge_runtime.cameras.settings import CameraSettings
from edge_runtime.commands.settings import CommandsSection
from edge_runtime.drift import DriftSection
from edge_runtime.mqtt.settings import PictureSection
from edge_runtime.search.settings import Backend, GpuSettings
from edge_runtime.supervision.settings import LogSection, SupervisionSection
from latentline.errors import ConfigError
from latentline.strict_config import StrictModel, load_yaml

_NAME = r"^[A-Za-z0-9_.-]{1,64}$"  # one MQTT topic level: no slash, wildcard or blank
_ROOT = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"  # levels; a leading $ belongs to the broker


class StationSection(StrictModel):
    """Who this station is. `id` is a level of every topic: letters, digits and `_ . -`."""

    id: str = Field(pattern=_NAME)


class TlsSection(StrictModel):
    """TLS to the broker. `ca` unset: the system's certificate authorities. `certificate` and `key`: of this client."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = Field(default=None, validate_default=True)

    @field_validator("key")
    @classmethod
    def _key_and_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("certificate") is None):
            raise ValueError("mqtt.tls.certificate and mqtt.tls.key are given together or not at all")
        return key


class MqttSection(StrictModel):
    """The broker, and how to speak to it.

    port                   unset: 1883, or 8883 with `tls`
    root                   first levels of every topic
    client_id              unset: latentline-{station}; two clients of one id throw each other out
    password_file          file that holds nothing but the password
    password_env           environment variable that holds it
    tls                    null: a plain connection; `{}`: TLS with the system's authorities
    keep_alive             seconds between signs of life
    will_delay_seconds     how long the broker waits before it says `offline` of a station that vanished
    results                publish cam/{id}/result for each frame, normal ones too
    reconnect_seconds      first pause after a lost connection; doubles up to reconnect_max_seconds
    drain_seconds          at the end, how long to wait for the broker to take what is in the spool
    """

    host: str = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)
    root: str = Field(default="latentline", pattern=_ROOT)
    client_id: str | None = Field(default=None, min_length=1, max_length=128)
    username: str | None = Field(default=None, min_length=1)
    password_file: Path | None = None
    password_env: str | None = None
    tls: TlsSection | None = None
    keep_alive: int = Field(default=30, ge=5, le=65535)
    will_delay_seconds: int = Field(default=5, ge=0, le=3600)
    results: bool = False
    reconnect_seconds: float = Field(default=1.0, gt=0)
    reconnect_max_seconds: float = Field(default=30.0, gt=0)
    drain_seconds: float = Field(default=10.0, ge=0)

    @field_validator("password_file", "password_env")
    @classmethod
    def _password_has_a_user(cls, value: Path | str | None, info: ValidationInfo) -> Path | str | None:
        if value is not None and info.data.get("username") is None:
            raise ValueError("a password needs mqtt.username too")
        if info.field_name == "password_env" and value and info.data.get("password_file"):
            raise ValueError("give mqtt.password_file or mqtt.password_env, not both")
        return value

    @field_validator("reconnect_max_seconds")
    @classmethod
    def _pauses_grow(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("reconnect_seconds", value):
            raise ValueError("must not be below mqtt.reconnect_seconds")
        return value

    @property
    def broker_port(self) -> int:
        """`port`, or the standard one."""
        return self.port or (8883 if self.tls else 1883)

    @property
    def address(self) -> str:
        """host:port, for messages."""
        return f"{self.host}:{self.broker_port}"


class SpoolSection(StrictModel):
    """Events on disk until the broker has them. Above a limit the oldest are dropped, counted and said.

    max_events, max_mib, max_days  how many may wait, how much they may weigh, how old they may be; null: no limit
    """

    path: Path = Path("spool.sqlite")
    max_events: int = Field(default=100_000, ge=1)
    max_mib: int | None = Field(default=512, ge=1)
    max_days: float | None = Field(default=None, gt=0)


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


def read_password(mqtt: MqttSection) -> str | None:
    """The broker password from its file or environment variable; None when there is none. Raises ConfigError."""
    if mqtt.password_file is not None:
        try:
            password = mqtt.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"mqtt.password_file: {mqtt.password_file} cannot be read ({reason})") from None
        if not password:
            raise ConfigError(f"mqtt.password_file: {mqtt.password_file} is empty; write the password into it")
        return password
    if mqtt.password_env is not None:
        if not os.environ.get(mqtt.password_env):
            raise ConfigError(f"mqtt.password_env: the environment variable {mqtt.password_env} is not set")
        return os.environ[mqtt.password_env]
    return None


def _at(base: Path, path: Path | None) -> Path | None:
    return None if path is None else base / path.expanduser()

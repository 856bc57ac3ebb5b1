"""The station's one YAML file: every setting, checked before anything is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from edge_runtime.search.settings import Backend, GpuSettings
from latentline.errors import ConfigError
from latentline.strict_config import StrictModel, load_yaml

_NAME = r"^[A-Za-z0-9_.-]{1,64}$"  # one MQTT topic level: no slash, wildcard or blank
_ROOT = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"  # levels; a leading $ belongs to the broker


class StationSection(StrictModel):
    """Who this station is. `id` is a level of every topic: letters, digits and `_ . -`."""

    id: str = Field(pattern=_NAME)


class CameraSection(StrictModel):
    """Where frames come from.

    source              device: its number; stream: a video file or URL; folder: a path
    watch               folder only: keep waiting for new pictures after the last one
    every_frame         true: no frame is left out and the camera waits for the inspector; false: the newest frame
                        only; unset: true for folders and video files, false for devices and network streams
    stall_seconds       without a frame for so long, a live camera is called stalled
    settle_seconds      watched folder: a file is read when its size and time stood still for so long
    reopen_seconds      first pause before a failed live camera is opened again; doubles up to reopen_max_seconds
    width, height       device only: the frame size to ask for, pixels
    """

    id: str = Field(default="main", pattern=_NAME)
    kind: Literal["device", "stream", "folder"]
    source: int | str
    watch: bool = False
    every_frame: bool | None = None
    stall_seconds: float = Field(default=5.0, gt=0)
    settle_seconds: float = Field(default=0.5, ge=0)
    reopen_seconds: float = Field(default=1.0, gt=0)
    reopen_max_seconds: float = Field(default=30.0, gt=0)
    width: int | None = Field(default=None, ge=16)
    height: int | None = Field(default=None, ge=16)

    @field_validator("source")
    @classmethod
    def _source_fits_kind(cls, source: int | str, info: ValidationInfo) -> int | str:
        kind = info.data.get("kind")
        if kind == "device" and not (isinstance(source, int) and source >= 0):
            raise ValueError("kind 'device' takes the device number, e.g. 0")
        if kind in ("stream", "folder") and not (isinstance(source, str) and source):
            raise ValueError(f"kind '{kind}' takes a path" + (" or URL" if kind == "stream" else ""))
        if kind == "folder" and "://" in str(source):
            raise ValueError("kind 'folder' takes a path; use kind 'stream' for a URL")
        return source

    @field_validator("watch")
    @classmethod
    def _only_folders_are_watched(cls, watch: bool, info: ValidationInfo) -> bool:
        if watch and info.data.get("kind", "folder") != "folder":
            raise ValueError("only a camera of kind 'folder' can be watched")
        return watch

    @field_validator("width", "height")
    @classmethod
    def _only_devices_have_a_size(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("kind", "device") != "device":
            raise ValueError("only a camera of kind 'device' can be asked for a frame size")
        return value

    @field_validator("reopen_max_seconds")
    @classmethod
    def _pauses_grow(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("reopen_seconds", value):
            raise ValueError("must not be below camera.reopen_seconds")
        return value

    @property
    def network(self) -> bool:
        """Whether frames come over the network."""
        return self.kind == "stream" and "://" in str(self.source)

    @property
    def live(self) -> bool:
        """Whether the source has no end of its own and is opened again after a fault."""
        return self.kind == "device" or self.network or self.watch

    @property
    def lossless(self) -> bool:
        """`every_frame`, or its default for this kind."""
        if self.every_frame is not None:
            return self.every_frame
        return self.kind == "folder" or (self.kind == "stream" and not self.network)


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
    """Events on disk until the broker has them. Above `max_events` the oldest is dropped, counted and said."""

    path: Path = Path("spool.sqlite")
    max_events: int = Field(default=100_000, ge=1)


class StationConfig(StrictModel):
    """A whole station.

    model      path of the model package, a folder or a .zip
    backend    auto: tensorrt where a GPU, TensorRT and pycuda work, else cpu; or one of these by name
    gpu        how the tensorrt backend builds and runs
    cameras    one or more; each has its own id
    threshold  unset: the package's; else the anomaly score above which a frame is abnormal
    Relative paths start at the folder of the YAML file.
    """

    station: StationSection
    model: Path
    backend: Backend = "auto"
    gpu: GpuSettings = GpuSettings()
    threshold: float | None = None
    cameras: tuple[CameraSection, ...] = Field(min_length=1)
    mqtt: MqttSection
    spool: SpoolSection = SpoolSection()

    @field_validator("cameras")
    @classmethod
    def _different_ids(cls, cameras: tuple[CameraSection, ...]) -> tuple[CameraSection, ...]:
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
    cameras = tuple(_camera_at(base, camera) for camera in config.cameras)
    if tls is not None:
        named = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
        tls = tls.model_copy(update={name: _at(base, file) for name, file in named.items()})
    mqtt = mqtt.model_copy(update={"tls": tls, "password_file": _at(base, mqtt.password_file)})
    spool = config.spool.model_copy(update={"path": _at(base, config.spool.path)})
    gpu = config.gpu.model_copy(update={"cache": _at(base, config.gpu.cache)})
    changed = {"cameras": cameras, "mqtt": mqtt, "spool": spool, "gpu": gpu, "model": _at(base, config.model)}
    return config.model_copy(update=changed)


def _camera_at(base: Path, camera: CameraSection) -> CameraSection:
    if isinstance(camera.source, str) and not camera.network:
        return camera.model_copy(update={"source": str(base / Path(camera.source).expanduser())})
    return camera


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

"""`pictures:` of a station's YAML."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from latentline.base.strict_yaml import StrictModel
from latentline.errors import ConfigError

SMALLEST_SIDE = 16  # px; a smaller picture shows nothing


class PictureSection(StrictModel):
    """Pictures of defects on cam/{id}/picture; QoS 0, not kept while there is no connection.

    margin        pixels of the frame around the defect's box, as a share of the box's longer side
    longest_side  pixels; a larger crop is scaled down
    quality       of the JPEG, 1 … 100; lowered as far as `max_bytes` needs
    max_bytes     of one picture; the broker's own limit counts too
    per_frame     how many defects of one frame get a picture, the strongest first
    """

    margin: float = Field(default=0.5, ge=0, le=10)
    longest_side: int = Field(default=480, ge=SMALLEST_SIDE, le=8192)
    quality: int = Field(default=85, ge=1, le=100)
    max_bytes: int = Field(default=100_000, ge=1_000)
    per_frame: int = Field(default=4, ge=1, le=100)


_ROOT = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"  # levels; a leading $ belongs to the broker


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

"""Sections `mqtt` and `pictures` of the station file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from edge_runtime.host_name import BrokerHost
from edge_runtime.spelling import spelled
from latentline.base.strict_yaml import StrictModel
from latentline.errors import ConfigError

SMALLEST_SIDE = 16  # px; a smaller picture shows nothing


class PictureSection(StrictModel):
    """A JPEG of each defect on the topic `cam/{id}/picture`, with QoS 0. Pictures are lost while there is no
    connection. Without this section the station sends none."""

    margin: float = Field(default=0.5, ge=0, le=10)
    """Width of the surroundings shown on each side of the defect's box, as a fraction of the box's longer side."""

    longest_side: int = Field(default=480, ge=SMALLEST_SIDE, le=8192)
    """Longest side of the picture; a larger crop is scaled down. [px]"""

    quality: int = Field(default=85, ge=1, le=100)
    """JPEG quality, lowered where `max_bytes` needs it."""

    max_bytes: int = Field(default=100_000, ge=1_000)
    """Largest size of a picture. The broker's own limit on messages applies too. [bytes]"""

    per_frame: int = Field(default=4, ge=1, le=100)
    """Most defects of one frame that get a picture, the strongest first."""


MOST_PASSWORD_BYTES = 65535  # MQTT 5, 1.5.6: the length of binary data has two bytes

# Levels; a leading $ belongs to the broker.
_ROOT = spelled(
    r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*",
    "levels of letters from A to Z, digits, _ . or -, with a / between them",
)


class TlsSection(StrictModel):
    """TLS to the broker. An empty section `{}` is TLS with the system's certificate authorities."""

    ca: Path | None = None
    """PEM file of the authorities that may have signed the broker's certificate. Unset: those of the system."""

    certificate: Path | None = None
    """PEM file of the station's own certificate, where the broker asks for one."""

    key: Path | None = Field(default=None, validate_default=True)
    """PEM file of its private key. Given together with `certificate`."""

    key_password_file: Path | None = None
    """File that holds nothing but the password of an encrypted `key`."""

    key_password_env: str | None = Field(default=None, min_length=1)
    """Environment variable that holds the password, in place of `key_password_file`."""

    @field_validator("key")
    @classmethod
    def _key_and_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("certificate") is None):
            raise ValueError("mqtt.tls.certificate and mqtt.tls.key are given together or not at all")
        return key

    @field_validator("key_password_file", "key_password_env")
    @classmethod
    def _password_has_a_key(cls, value: Path | str | None, info: ValidationInfo) -> Path | str | None:
        if value is not None and info.data.get("key") is None:
            raise ValueError("a password of the key needs mqtt.tls.key too")
        if info.field_name == "key_password_env" and value and info.data.get("key_password_file"):
            raise ValueError("give mqtt.tls.key_password_file or mqtt.tls.key_password_env, not both")
        return value


class MqttSection(StrictModel):
    """The MQTT 5 broker and the connection to it."""

    host: BrokerHost = Field(min_length=1)
    """Name or address of the broker. With TLS, the name in its certificate."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """Port of the broker. Unset: 1883, or 8883 with `tls`."""

    root: Annotated[str, _ROOT] = "latentline"
    """First levels of every topic: `plant/quality` gives `plant/quality/{station}/v1/…`."""

    client_id: str | None = Field(default=None, min_length=1, max_length=128)
    """MQTT client id, unique on the broker: a second client with the same id takes over the connection. Unset:
    `latentline-{station}`."""

    username: str | None = Field(default=None, min_length=1, max_length=1024)
    """Name of the station's user at the broker."""

    password_file: Path | None = None
    """File that holds nothing but the user's password."""

    password_env: str | None = None
    """Environment variable that holds the password, in place of `password_file`."""

    tls: TlsSection | None = None
    """Unset: a plain connection. `{}`: TLS with the system's certificate authorities."""

    keep_alive: int = Field(default=30, ge=5, le=65535)
    """MQTT keep-alive: longest silence on the connection. [s]"""

    will_delay_seconds: int = Field(default=5, ge=0, le=3600)
    """Time after which the broker publishes the status `offline` of a station whose connection broke. [s]"""

    results: bool = False
    """True publishes a short message `cam/{id}/result` for each frame, normal ones too."""

    reconnect_max_seconds: float = Field(default=30.0, gt=0)
    """Longest pause between two attempts to connect. The pause starts at 1 s or less and doubles with each failure.
    [s]"""

    drain_seconds: float = Field(default=10.0, ge=0)
    """When all cameras have come to their end, the broker gets this long to take the events that still wait. A station
    that is told to stop leaves them in the spool for its next start. [s]"""

    @field_validator("password_file", "password_env")
    @classmethod
    def _password_has_a_user(cls, value: Path | str | None, info: ValidationInfo) -> Path | str | None:
        if value is not None and info.data.get("username") is None:
            raise ValueError("a password needs mqtt.username too")
        if info.field_name == "password_env" and value and info.data.get("password_file"):
            raise ValueError("give mqtt.password_file or mqtt.password_env, not both")
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
    password = _read_secret("mqtt.password", mqtt.password_file, mqtt.password_env)
    if password is not None and (size := len(password.encode())) > MOST_PASSWORD_BYTES:
        raise ConfigError(f"mqtt.password has {size} bytes, and MQTT takes {MOST_PASSWORD_BYTES} at most; correct it")
    return password


def read_key_password(tls: TlsSection) -> str | None:
    """The password of the private key, as `read_password`."""
    return _read_secret("mqtt.tls.key_password", tls.key_password_file, tls.key_password_env)


def _read_secret(setting: str, file: Path | None, variable: str | None) -> str | None:
    if file is not None:
        try:
            secret = file.read_text(encoding="utf-8-sig").rstrip("\r\n")  # Windows' editor writes a mark at its start
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"{setting}_file: {file} cannot be read ({reason})") from None
        if not secret:
            raise ConfigError(f"{setting}_file: {file} is empty; write the password into it")
        return secret
    if variable is not None:
        if not os.environ.get(variable):
            raise ConfigError(f"{setting}_env: the environment variable {variable} is not set")
        return os.environ[variable]
    return None

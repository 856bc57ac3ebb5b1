"""What a station's configuration names: its broker, its secrets, and the files beside its spool."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.trust import ReleaseFile, Trust
from edge_runtime.config import StationConfig
from edge_runtime.mqtt.broker import Broker
from edge_runtime.mqtt.settings import read_password


def broker_of(config: StationConfig) -> Broker:
    """Address and credentials of the broker. Raises ConfigError when the password cannot be read."""
    mqtt = config.mqtt
    return Broker(
        mqtt.host,
        mqtt.broker_port,
        config.client_id,
        mqtt.username,
        read_password(mqtt),
        mqtt.tls,
        mqtt.keep_alive,
        new_password=partial(read_password, mqtt),
    )


def secrets_of(broker: Broker, config: StationConfig) -> list[str]:
    """Texts that must not appear in a log: the broker's password and those of the cameras."""
    cameras = set[str]().union(*(camera.secrets for camera in config.cameras))
    return [*([broker.password] if broker.password else []), *cameras]


def load_overrides(config: StationConfig) -> Overrides:
    """Read what commands have set, from the file beside the spool. Raises ConfigError when it cannot be read."""
    return Overrides(config.spool.path.with_suffix(".commands.json"), config.threshold, config.model)


def release_file(config: StationConfig) -> ReleaseFile:
    """What release this station has accepted, beside the spool."""
    return ReleaseFile(config.spool.path.with_suffix(".release.json"))


def trust_of(config: StationConfig) -> Trust:
    """Which packages this station runs."""
    return Trust(config.commands.trusted_keys, release_file(config))


def models_of(config: StationConfig) -> Path:
    """The folder that packages lie in."""
    return config.commands.models or config.model.parent

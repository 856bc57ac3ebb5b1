"""What a station's configuration leads to: its broker, its secrets, what commands have set."""

from __future__ import annotations

from edge_runtime.commands.persisted import Persisted
from edge_runtime.config import StationConfig
from edge_runtime.mqtt.connection import Broker
from edge_runtime.mqtt.settings import MqttSection, read_password


def persisted_of(config: StationConfig) -> Persisted:
    """What commands have set, from the file beside the spool. Raises ConfigError when it cannot be read."""
    return Persisted(config.spool.path.with_suffix(".commands.json"), config.threshold, config.model)


def secrets_of(broker: Broker) -> list[str]:
    """What must never be in a log."""
    return [broker.password] if broker.password else []


def broker_of(config: StationConfig) -> Broker:
    """How to reach the broker of `config`. Raises ConfigError when the password cannot be read."""
    mqtt: MqttSection = config.mqtt
    return Broker(
        mqtt.host,
        mqtt.broker_port,
        config.client_id,
        mqtt.username,
        read_password(mqtt),
        mqtt.tls,
        mqtt.keep_alive,
    )

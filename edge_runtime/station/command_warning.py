"""Says when anybody on the network could command the station."""

from __future__ import annotations

from edge_runtime.config import StationConfig


def command_warning(config: StationConfig) -> str | None:
    """A sentence when commands are enabled over a connection without TLS or without a password; else None."""
    mqtt = config.mqtt
    if not config.commands.verbs:
        return None
    identified = mqtt.username is not None and (mqtt.password_file is not None or mqtt.password_env is not None)
    lacking = [
        *([] if mqtt.tls is not None else ["no TLS (mqtt.tls)"]),
        *([] if identified or (mqtt.tls is not None and mqtt.tls.key is not None) else ["no password (mqtt.username)"]),
    ]
    if not lacking:
        return None
    return (
        f"commands are enabled ({', '.join(config.commands.verbs)}), and the connection to {mqtt.address} has "
        f"{' and '.join(lacking)}: whoever reaches the network or the broker may command this station"
    )

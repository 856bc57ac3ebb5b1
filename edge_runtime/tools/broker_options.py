"""The options of a command line that say how to reach the broker."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.mqtt.settings import MqttSection, read_password
from latentline.base.strict_yaml import parse
from latentline.errors import ConfigError

_TLS_FILES = ("ca", "certificate", "key")
_MQTT = ("host", "port", "username", "password_file", "root")


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add host, port, TLS, user and root."""
    parser.add_argument("--host", help="host of the broker (default: localhost)")
    parser.add_argument("--port", type=int, help="port of the broker (default: 1883, with TLS 8883)")
    parser.add_argument("--tls", action="store_true", help="use TLS with the system's certificate authorities")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="use TLS with this certificate authority")
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="certificate of this client, for TLS; with --key"
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="key of the certificate")
    parser.add_argument("--username", metavar="NAME", help="user with the right to use the stations' topics")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="file that holds only the password")
    parser.add_argument("--root", help="first levels of the topics (default: latentline)")


def mqtt_options(options: argparse.Namespace, base: Mapping[str, Any], source: str) -> tuple[MqttSection, str | None]:
    """The section `mqtt` that the options make of `base`, and the password. Raises ConfigError, naming `source`."""
    given = {name: getattr(options, name) for name in _MQTT if getattr(options, name) is not None}
    if "username" in given:  # the password belongs to another user
        base = {name: value for name, value in base.items() if not name.startswith("password_")}
    tls = {name: getattr(options, name) for name in _TLS_FILES if getattr(options, name) is not None}
    if tls or options.tls:
        base = {**base, "tls": {**(base.get("tls") or {}), **tls}}
    mqtt = parse({"host": "localhost", **base, **given}, MqttSection, source)
    try:
        return mqtt, read_password(mqtt)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None

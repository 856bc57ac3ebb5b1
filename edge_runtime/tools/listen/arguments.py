"""What `latentline-edge listen` is asked to do: from a station's YAML, from options, or both."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from edge_runtime.config import load_station
from edge_runtime.mqtt.broker import Broker
from edge_runtime.mqtt.settings import MqttSection, read_password
from latentline.base.strict_yaml import StrictModel, parse
from latentline.errors import ConfigError

_LEVEL = r"^[A-Za-z0-9_.-]{1,64}$"
_TLS_FILES = ("ca", "certificate", "key")
_MQTT = ("host", "port", "username", "password_file", "root")


@dataclass(frozen=True)
class Order:
    """Whom to ask and what to hear. station: an id, or + for all; seconds None: until told to end."""

    broker: Broker
    root: str
    station: str
    json: bool
    seconds: float | None

    @property
    def filters(self) -> dict[str, int]:
        """Topic filters with their QoS; pictures, which are large, are not kept for a session that is away."""
        prefix = f"{self.root}/{self.station}/v1"
        kept = ("status", "birth", "cam/+/status", "cam/+/defect", "response/#")
        return {**{f"{prefix}/{rest}": 1 for rest in kept}, f"{prefix}/cam/+/picture": 0, f"{prefix}/health": 0}


class _Options(StrictModel):
    station: str = Field(pattern=rf"{_LEVEL}|^\+$")
    session: str | None = Field(default=None, pattern=_LEVEL)
    seconds: float | None = Field(default=None, gt=0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "config",
        type=Path,
        nargs="?",
        metavar="STATION.yaml",
        help="the station to listen to; options override it",
    )
    parser.add_argument("--host", help="of the broker (default: localhost)")
    parser.add_argument("--port", type=int, help="of the broker (default: 1883, with TLS 8883)")
    parser.add_argument("--tls", action="store_true", help="TLS with the system's authorities")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="TLS with this authority")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="of this client, for TLS; with --key")
    parser.add_argument("--key", type=Path, metavar="FILE", help="of the certificate")
    parser.add_argument("--username", metavar="NAME", help="a user who may read the station's topics")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="holds nothing but the password")
    parser.add_argument("--station", metavar="ID", help="one station (default: + for all, or that of the YAML)")
    parser.add_argument("--root", help="first levels of the topics (default: latentline)")
    parser.add_argument("--session", metavar="NAME", help="a session: events of its absence arrive, up to a week later")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after so long")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def order_of(options: argparse.Namespace) -> Order:
    """Check what `add_arguments` parsed. Raises ConfigError."""
    given = {name: getattr(options, name) for name in _MQTT if getattr(options, name) is not None}
    known: dict[str, Any] = {"host": "localhost"}
    station = options.station
    if options.config is not None:
        config = load_station(options.config)
        known = config.mqtt.model_dump(exclude_unset=True)
        station = station or config.station.id
        if "username" in given:  # another user has another password
            known = {name: value for name, value in known.items() if not name.startswith("password_")}
    tls = {name: getattr(options, name) for name in _TLS_FILES if getattr(options, name) is not None}
    if tls or options.tls:
        known["tls"] = {**(known.get("tls") or {}), **tls}
    mqtt = parse({**known, **given}, MqttSection, "listen")
    asked = {"station": station or "+", "session": options.session, "seconds": options.seconds}
    checked = parse(asked, _Options, "listen")
    try:
        password = read_password(mqtt)
    except ConfigError as error:
        raise ConfigError(f"listen: {error}") from None
    broker = Broker(
        mqtt.host,
        mqtt.broker_port,
        f"latentline-listen-{checked.session}" if checked.session else "",  # empty: the broker finds one
        mqtt.username,
        password,
        mqtt.tls,
        mqtt.keep_alive,
        clean_start=checked.session is None,
    )
    return Order(broker, mqtt.root, checked.station, options.json, checked.seconds)

"""The options of `latentline-edge listen`, from a station's YAML, the command line, or both."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from edge_runtime.config import load_station
from edge_runtime.mqtt.broker import Broker
from edge_runtime.spelling import TOPIC_LEVEL
from edge_runtime.tools.broker_options import add_broker_arguments, mqtt_options
from latentline.base.strict_yaml import StrictModel, parse


@dataclass(frozen=True)
class ListenOptions:
    """The broker and the stations to listen to. station: an id, or + for all; seconds: None for no end."""

    broker: Broker
    root: str
    station: str
    json: bool
    seconds: float | None

    @property
    def filters(self) -> dict[str, int]:
        """Topic filters with their QoS. With QoS 0 the broker keeps no pictures and health messages for a session."""
        prefix = f"{self.root}/{self.station}/v1"
        qos_1 = ("status", "birth", "cam/+/status", "cam/+/defect", "response/#")
        return {**{f"{prefix}/{rest}": 1 for rest in qos_1}, f"{prefix}/cam/+/picture": 0, f"{prefix}/health": 0}


class _OwnOptions(StrictModel):
    station: Literal["+"] | Annotated[str, TOPIC_LEVEL]
    session: Annotated[str, TOPIC_LEVEL] | None = None
    seconds: float | None = Field(default=None, gt=0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `listen`."""
    parser.add_argument(
        "config",
        type=Path,
        nargs="?",
        metavar="STATION.yaml",
        help="the station to listen to; options override it",
    )
    add_broker_arguments(parser)
    parser.add_argument(
        "--station", metavar="ID", help="listen to one station (default: that of the YAML, else + for all)"
    )
    parser.add_argument(
        "--session",
        metavar="NAME",
        help="session name: the broker keeps events for it while it is away, for a week at most",
    )
    parser.add_argument("--seconds", type=float, metavar="N", help="end after N seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def listen_options(options: argparse.Namespace) -> ListenOptions:
    """Check the parsed arguments. Raises ConfigError."""
    base: dict[str, Any] = {}
    station = options.station
    if options.config is not None:
        config = load_station(options.config)
        base = config.mqtt.model_dump(exclude_unset=True)
        station = station or config.station.id
    mqtt, password = mqtt_options(options, base, "listen")
    others = {"station": station or "+", "session": options.session, "seconds": options.seconds}
    checked = parse(others, _OwnOptions, "listen")
    broker = Broker(
        mqtt.host,
        mqtt.broker_port,
        f"latentline-listen-{checked.session}" if checked.session else "",  # empty: the broker assigns one
        mqtt.username,
        password,
        mqtt.tls,
        mqtt.keep_alive,
        clean_start=checked.session is None,
    )
    return ListenOptions(broker, mqtt.root, checked.station, options.json, checked.seconds)

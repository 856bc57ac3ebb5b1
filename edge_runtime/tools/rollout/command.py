"""`latentline-edge rollout`: bring a package to many stations, a few first, and back at the first regression."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path

from edge_runtime.mqtt.broker import Broker
from edge_runtime.tools.broker_options import add_broker_arguments, mqtt_options
from edge_runtime.tools.rollout.client import RolloutClient
from edge_runtime.tools.rollout.rollout import Rollout, RolloutPlan
from latentline.base.signals import StopRequest, stop_on_signals
from latentline.errors import BrokerError, ConfigError
from latentline.package.package_name import name_fault
from latentline.printable import printable

_STATION = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_EXIT_CODES = {"done": 0, "stopped": 1, "interrupted": 130}


def add_rollout_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rollout`."""
    parser.add_argument("package", type=Path, help="the model package, with the name that it has on the stations")
    parser.add_argument("--stations", type=_stations, required=True, metavar="A,B,C", help="ids, the canaries first")
    parser.add_argument("--canary", type=_canary, default=1, metavar="N|N%", help="how many switch first (1)")
    parser.add_argument(
        "--watch", type=_seconds, default=600.0, metavar="10min", help="how long to watch after each stage (10min)"
    )
    parser.add_argument(
        "--fetch", action="store_true", help="have each station fetch the .zip first, from its commands.fetch.source"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_broker_arguments(parser)


def run_rollout(options: argparse.Namespace) -> int:
    """Roll a package out; returns 0 when it is done, 1 when it was stopped, 130 when the user ended it.

    Raises ConfigError, PackageError, BrokerError, and StationsNotReadyError before anything has changed.
    """
    plan = _plan(options)
    mqtt, password = mqtt_options(options, {}, "rollout")
    broker = Broker(
        mqtt.host, mqtt.broker_port, "", mqtt.username, password, mqtt.tls, mqtt.keep_alive, clean_start=True
    )
    stations = tuple(options.stations)
    with (
        stop_on_signals() as request,
        RolloutClient(broker, mqtt.root, stations, _requester(mqtt.username)) as client,
    ):
        rollout = Rollout(plan, client, _say, lambda: request.number is not None)
        _run(rollout, request)
    report = rollout.report
    print(report.json() if options.json else "\n".join(report.lines()), flush=True)
    return _EXIT_CODES[report.ending]


def _run(rollout: Rollout, request: StopRequest) -> None:
    """Carry a roll-out out, and say in its report what ended it."""
    try:
        rollout.run()
        if request.number is not None:
            rollout.report.reason = "you ended it; the same command goes on from here"
    except KeyboardInterrupt:
        rollout.report.reason = "you ended it before all stations had answered; look at them, then start it again"
        rollout.forget_asked()
    except BrokerError as error:
        if not rollout.has_changed:
            raise
        rollout.report.ending, rollout.report.reason = "stopped", str(error)
        rollout.forget_asked()


def _plan(options: argparse.Namespace) -> RolloutPlan:
    from latentline.package.model_package import load_package

    package: Path = options.package
    if (fault := name_fault(package.name)) is not None:
        raise ConfigError(fault)
    model = load_package(package).model_hash
    if options.fetch and not (package.is_file() and package.suffix == ".zip"):
        raise ConfigError(f"{package}: stations fetch only a .zip; export the package as one, or leave out --fetch")
    file = hashlib.sha256(package.read_bytes()).hexdigest() if options.fetch else None
    stations = list(options.stations)
    first = options.canary if isinstance(options.canary, int) else -(-len(stations) * int(options.canary[:-1]) // 100)
    stages = [stage for stage in (stations[:first], stations[first:]) if stage]
    return RolloutPlan(package.name, model, file, stages, options.watch)


def _requester(username: str | None) -> str:
    """The name under which the stations' logs have the commands, and a level of the topic of their answers."""
    return username if username is not None and _STATION.fullmatch(username) else "rollout"


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr, flush=True)


def _stations(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if _STATION.fullmatch(name) is None:
            raise argparse.ArgumentTypeError(f"'{name}' is not the id of a station")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError("a station is named twice")
    return names


def _canary(text: str) -> int | str:
    found = re.fullmatch(r"(\d{1,4})(%?)", text)
    if found is None or (found[2] and int(found[1]) > 100):
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number of stations nor a share such as 25%")
    return text if found[2] else int(text)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*(s|min|h)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a duration such as 90s, 10min or 2h")
    return float(found[1]) * _UNITS[found[2]]

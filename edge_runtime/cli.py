"""`latentline-edge VERB`: everything that a station and those who look after it ask for, one function a verb."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edge_runtime.config import load_station
from edge_runtime.supervision.logs import configure_log
from edge_runtime.tools.archive.arguments import add_archive_commands, add_labels_commands
from edge_runtime.tools.check import check_station
from edge_runtime.tools.help_texts import CHECK, RUN, STATION_FILE
from edge_runtime.tools.listen.arguments import add_arguments
from edge_runtime.tools.owner import refuse_root
from edge_runtime.tools.page_arguments import add_page_arguments
from edge_runtime.tools.rollout.command import add_rollout_arguments
from latentline.base.arguments import count, positive
from latentline.base.command_parser import add_version
from latentline.base.worker_arguments import add_worker_options
from latentline.errors import run_command
from latentline.printable import PrintableFormatter, printable
from latentline.terminal import tolerate_output


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 after a success, 2 after a mistake that the user can correct."""
    tolerate_output()
    options = _parser().parse_args(arguments)
    quiet = logging.WARNING if options.command in ("demo", "listen", "rollout") else logging.INFO
    level = logging.DEBUG if options.verbose else quiet
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    commands = {
        "run": _run,
        "check": _check,
        "doctor": _doctor,
        "listen": _listen,
        "lowest-release": _lowest_release,
        "rollout": _rollout,
        "rescore": _rescore,
        "demo": _demo,
        "archive": _archive,
        "labels": _labels,
        "page": _page,
    }
    return run_command(lambda: commands[options.command](options))


def _run(options: argparse.Namespace) -> int:
    from edge_runtime.commands.models import open_first_model
    from edge_runtime.station.configured import broker_of, load_overrides, secrets_of, trust_of
    from edge_runtime.station.ending import end_in_time
    from edge_runtime.station.station import Station
    from latentline.model import open_model

    config = load_station(options.config)
    configure_log(config.log, config.station.id, secrets=secrets_of(broker_of(config), config))
    overrides, trust = load_overrides(config), trust_of(config)
    first = open_first_model(
        lambda path: open_model(path, config.backend, gpu=config.gpu, admit=trust.admit),
        config.model,
        config.commands.models,
        overrides,
    )
    try:
        trust.use(first.inspector.package.signature)
        station = Station(config, first.inspector, overrides=overrides, trust=trust, path=options.config)
        station.health.fault("model", first.fault)
        with end_in_time(station):
            station.run()
    finally:
        first.inspector.close()
    return 0


def _check(options: argparse.Namespace) -> int:
    from latentline.model import open_model

    findings = []
    for finding in check_station(options.config, open_model):
        findings.append(finding)
        if not options.json:
            mark = "WARN  " if finding.warning else "ok    " if finding.ok else "FAILED"
            print(f"{mark} {finding.subject:9} {printable(finding.message)}", flush=True)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    return 0 if all(finding.ok for finding in findings) else 2


def _doctor(options: argparse.Namespace) -> int:
    from edge_runtime.tools.doctor.command import run_doctor

    return int(run_doctor(options.target, options.precision, options.output, options.seconds, options.json))


def _lowest_release(options: argparse.Namespace) -> int:
    from edge_runtime.station.configured import release_file

    config = load_station(options.config)
    file = release_file(config)
    if options.release is not None:
        refuse_root(config.spool.path.parent)
        file.set_lowest(options.release)
    known = file.read()
    print(f"the lowest release that this station accepts: {known.release if known is not None else 'any'}")
    return 0


def _listen(options: argparse.Namespace) -> int:
    from edge_runtime.tools.listen.command import run_listen

    return int(run_listen(options))


def _rollout(options: argparse.Namespace) -> int:
    from edge_runtime.tools.rollout.command import run_rollout

    return int(run_rollout(options))


def _rescore(options: argparse.Namespace) -> int:
    from edge_runtime.tools.rescore import run_rescore

    return run_rescore(options)


def _demo(options: argparse.Namespace) -> int:
    from edge_runtime.tools.demo.run import run_demo

    seconds = options.seconds if options.seconds is not None else 3600.0 if options.page else 60.0
    return int(run_demo(seconds, options.seed, options.broker, options.output, options.page))


def _page(options: argparse.Namespace) -> int:
    from edge_runtime.tools.page_users import run_page_command

    return int(run_page_command(options))


def _archive(options: argparse.Namespace) -> int:
    from edge_runtime.tools.archive.command import run_archive

    return int(run_archive(options))


def _labels(options: argparse.Namespace) -> int:
    from edge_runtime.tools.archive.command import run_labels

    return int(run_labels(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="latentline-edge", description="The inspection station.")
    add_version(parser)
    parser.add_argument("--verbose", action="store_true", help="log details")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help=RUN.short, description=RUN.description, epilog=RUN.ends)
    run.add_argument("config", type=Path, metavar="STATION.yaml", help=STATION_FILE)
    check = commands.add_parser("check", help=CHECK.short, description=CHECK.description, epilog=CHECK.ends)
    check.add_argument("config", type=Path, metavar="STATION.yaml", help=STATION_FILE)
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor = commands.add_parser(
        "doctor", help="examine this machine: what is there, whether the search is right, how fast it is"
    )
    doctor.add_argument(
        "target",
        type=Path,
        nargs="?",
        metavar="STATION.yaml|PACKAGE",
        help="what to examine the machine for (default: the demo's model)",
    )
    doctor.add_argument(
        "--precision", choices=["fp32", "fp16"], help="precision of the engines (default: the station's, or fp32)"
    )
    doctor.add_argument(
        "--seconds", type=positive, default=5.0, help="how long to time each backend (default: %(default)s)"
    )
    doctor.add_argument(
        "--output",
        type=Path,
        default=Path("doctor-report"),
        metavar="DIR",
        help="folder for the report (default: %(default)s)",
    )
    doctor.add_argument("--json", action="store_true", help="print the report as JSON")
    listen = commands.add_parser("listen", help="print what stations publish, as a subscriber receives it")
    add_arguments(listen)
    add_page_arguments(commands.add_parser("page", help="the users of the operator page"))
    lowest = commands.add_parser(
        "lowest-release", help="say, or set, the lowest release of signed packages that this station accepts"
    )
    lowest.add_argument("config", type=Path, metavar="STATION.yaml")
    lowest.add_argument("release", type=count, nargs="?", metavar="N", help="accept N and later releases from now on")
    rollout = commands.add_parser("rollout", help="bring a package to many stations, and back at the first regression")
    add_rollout_arguments(rollout)
    rescore = commands.add_parser("rescore", help="score a folder of pictures with a package, into a Parquet table")
    rescore.add_argument("pictures", type=Path, metavar="FOLDER", help="pictures at any depth, or a station's archive")
    rescore.add_argument("--package", type=Path, required=True, help="folder or .zip of the model package")
    rescore.add_argument("--out", type=Path, required=True, metavar="FILE.parquet", help="the table to write")
    add_worker_options(rescore)
    rescore.add_argument("--json", action="store_true", help="print what was done as JSON")
    demo = commands.add_parser("demo", help="run a whole station without hardware")
    demo.add_argument(
        "--seconds", type=positive, help="how long to inspect (default: 60; with --page an hour, or until Ctrl-C)"
    )
    demo.add_argument("--page", action="store_true", help="with the operator page: prints its address and passwords")
    demo.add_argument("--seed", type=int, default=0, help="seed of the painted defects (default: %(default)s)")
    demo.add_argument("--broker", metavar="HOST", help="use this broker (HOST or HOST:PORT) and not the embedded one")
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="folder for summary and pictures (default: %(default)s)",
    )
    add_archive_commands(commands.add_parser("archive", help="list, export, prune or repair a station's archive"))
    add_labels_commands(commands.add_parser("labels", help="export labelled pictures for a training"))
    return parser

"""`latentline-export`: from checkpoints to model packages, and the proof that a package computes what was trained."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from export.from_checkpoint import package_checkpoint
from export.verify import TOLERANCE, Check, verify_package
from latentline.arguments import count, rate
from latentline.errors import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit code: 0, 1 when a verification fails, 2 when the user can put it right."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: int(arguments.run(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="latentline-export", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    package = commands.add_parser("package", help="export, calibrate and write the model package of a checkpoint")
    package.add_argument("checkpoint", type=Path, help="run folder or checkpoint folder")
    package.add_argument("out", type=Path, help="the package to write: a folder, or a file named .zip")
    package.add_argument("--data", type=Path, help="data root, if it moved")
    package.add_argument("--false-alarm-rate", type=rate, default=0.05, help="promised by the threshold (0.05)")
    package.add_argument("--iterations", type=count, help="search iterations (default: the configuration's)")
    package.add_argument("--name", help="name of the model (default: the configuration's)")
    package.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    package.set_defaults(run=_package)
    verify = commands.add_parser("verify", help="compare a package's graphs with oracles, in the station's runtime")
    verify.add_argument("package", type=Path, help="folder or .zip of the model package")
    verify.add_argument("--checkpoint", type=Path, help="compare with the networks of this checkpoint, too")
    verify.add_argument("--json", action="store_true", help="print the report as JSON")
    verify.set_defaults(run=_verify)
    return parser


def _package(arguments: argparse.Namespace) -> int:
    calibrated = package_checkpoint(
        arguments.checkpoint,
        arguments.out,
        arguments.data,
        arguments.false_alarm_rate,
        arguments.iterations,
        arguments.name,
        arguments.threads,
    )
    calibration = calibrated.calibration
    print(
        f"{arguments.out}: threshold {calibration.threshold:.3f} for at most {calibration.false_alarm_rate:g} false "
        f"alarms, from {calibration.scored_normals} held-out normal images"
    )
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    checks = verify_package(arguments.package, arguments.checkpoint)
    if arguments.json:
        print(json.dumps({"package": str(arguments.package), "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        print("\n".join(_line(check) for check in checks))
        print(f"{arguments.package}: {len(checks)} comparisons passed, relative errors below {TOLERANCE:g}")
    return 0


def _line(check: Check) -> str:
    kinks = check.points - check.resolved
    note = f", {kinks} of them on a kink that float32 does not resolve" if kinks else ""
    return f"{check.error:9.1e}  {check.what} ({check.points} points{note})"

"""`latentline-export`: from checkpoints to model packages, and the proof that a package computes what was trained."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from export.verify import TOLERANCE, Check, verify_package
from latentline.errors import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit code: 0, 1 when a verification fails, 2 when the user can put it right."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: int(arguments.run(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="latentline-export", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verify = commands.add_parser("verify", help="compare a package's graphs with oracles, in the station's runtime")
    verify.add_argument("package", type=Path, help="folder or .zip of the model package")
    verify.add_argument("--checkpoint", type=Path, help="compare with the networks of this checkpoint, too")
    verify.add_argument("--json", action="store_true", help="print the report as JSON")
    verify.set_defaults(run=_verify)
    return parser


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

"""`latentline-export`: checkpoints to model packages; packages verified, tuned, compared, signed, and built as engines.

Only the commands that need PyTorch import it; `engines`, `compare` and those of signatures run without.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from export.signing_commands import add_signing_commands
from export.tuning.command import add_tune, tuning_report
from latentline.base.arguments import count, count_or_auto, rate, searched_tiles
from latentline.base.command_parser import add_version
from latentline.base.counted import counted
from latentline.base.threads import add_threads, wait_without_spinning
from latentline.base.worker_arguments import add_worker_options
from latentline.errors import ConfigError, run_command
from latentline.printable import PrintableFormatter
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.scoring.thresholds import Tail
from latentline.terminal import tolerate_output

if TYPE_CHECKING:
    from export.check import Check


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 when a verification fails, 2 for a mistake that the user can correct."""
    tolerate_output()
    arguments = _parser().parse_args(argv)
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("trainer").setLevel(logging.INFO)  # not the exporter of ONNX, which tells every step
    return run_command(lambda: int(arguments.run(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="latentline-export",
        description="Checkpoints to model packages; packages verified, tuned, compared, signed, and built as engines.",
    )
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    package = commands.add_parser("package", help="export, calibrate and write the model package of a checkpoint")
    package.add_argument("checkpoint", type=Path, help="run folder or checkpoint folder")
    package.add_argument("out", type=Path, help="the package to write: a folder, or a file named .zip")
    package.add_argument("--data", type=Path, help="data root, if it moved")
    package.add_argument("--false-alarm-rate", type=rate, default=FALSE_ALARM_RATE, help="promised rate (0.05)")
    package.add_argument(
        "--threshold",
        choices=get_args(Tail),
        default="exact",
        help="exact (default) assumes nothing; smooth takes the largest scores for exponential, and needs 8 images",
    )
    package.add_argument("--iterations", type=count_or_auto, help="number or auto (default: the configuration's)")
    package.add_argument(
        "--tiles", type=searched_tiles, help="of a frame to search, all, or auto (default: the configuration's)"
    )
    package.add_argument("--fresh", action="store_true", help="measure anew what `evaluate` has kept in the run folder")
    package.add_argument("--name", help="name of the model (default: the configuration's)")
    package.set_defaults(run=_package)
    verify = commands.add_parser("verify", help="compare a package's graphs, in the station's runtime, with oracles")
    verify.add_argument("package", type=Path, help="folder or .zip of the model package")
    verify.add_argument("--checkpoint", type=Path, help="compare with the networks of this checkpoint, too")
    verify.add_argument("--json", action="store_true", help="print the report as JSON")
    verify.set_defaults(run=_verify)
    engines = commands.add_parser("engines", help="build a package's TensorRT engines into the station's cache")
    engines.add_argument("package", type=Path, help="folder or .zip of the model package")
    engines.add_argument("--precision", choices=("fp32", "fp16"), default="fp32", help="of the layers (fp32)")
    engines.add_argument("--cache", type=Path, metavar="DIR", help="default: $LATENTLINE_CACHE, or the user's cache")
    engines.add_argument(
        "--tensorrt", choices=("tensorrt", "tensorrt_rtx"), default="tensorrt", help="which TensorRT (tensorrt)"
    )
    engines.add_argument("--batch", type=count, help="most tiles at a time (default: depends on the tile size)")
    engines.add_argument("--workspace", type=count, metavar="MIB", help="limit of scratch memory (1024)")
    engines.add_argument(
        "--compute-capability", type=_capability, metavar="X.Y", help="of a GPU in another machine; tensorrt_rtx only"
    )
    engines.add_argument("--json", action="store_true", help="print the report as JSON")
    engines.set_defaults(run=_engines)
    add_signing_commands(commands)
    compare = commands.add_parser("compare", help="compare two packages on the pictures of an archive")
    compare.add_argument("old", type=Path, help="folder or .zip of the package that runs now")
    compare.add_argument("new", type=Path, help="folder or .zip of the package that may replace it")
    compare.add_argument(
        "--archive", type=Path, required=True, metavar="DIR", help="a station's archive, or a folder as `fit` takes it"
    )
    compare.add_argument(
        "--out", type=Path, default=Path("comparison"), metavar="DIR", help="folder for the report (comparison)"
    )
    compare.add_argument("--old-threshold", type=float, metavar="SCORE", help="that the station uses (the package's)")
    compare.add_argument("--new-threshold", type=float, metavar="SCORE", help="to be used with the new (the package's)")
    add_worker_options(compare)
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON")
    compare.set_defaults(run=_compare)
    tune = add_tune(commands)
    tune.set_defaults(run=_tune)
    add_threads(parser, package, verify, tune)
    return parser


def _capability(text: str) -> tuple[int, int]:
    """Parse a compute capability such as 8.9."""
    major, dot, minor = text.partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is not a compute capability such as 8.9")
    return int(major), int(minor)


def _package(arguments: argparse.Namespace) -> int:
    _limit_torch(arguments.threads)
    from export.from_checkpoint import package_checkpoint

    calibrated = package_checkpoint(
        arguments.checkpoint,
        arguments.out,
        arguments.data,
        arguments.false_alarm_rate,
        arguments.iterations,
        arguments.name,
        arguments.threads,
        arguments.fresh,
        arguments.threshold,
        arguments.tiles,
    )
    calibration = calibrated.calibration
    print(
        f"{arguments.out}: threshold {calibration.threshold:.3f} for at most {calibration.false_alarm_rate:g} false "
        f"alarms, from {calibration.scored_normals} held-out normal images"
    )
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    _limit_torch(arguments.threads)
    from export.check import TOLERANCE
    from export.verify import verify_package

    checks = verify_package(arguments.package, arguments.checkpoint, arguments.threads)
    if arguments.json:
        print(json.dumps({"package": str(arguments.package), "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        print("\n".join(_line(check) for check in checks))
        print(f"{arguments.package}: {len(checks)} comparisons passed, relative errors below {TOLERANCE:g}")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        raise ConfigError("--threads is for package and verify; give the number of processes with --workers")
    from export.compare import run_compare

    return run_compare(arguments)


def _tune(arguments: argparse.Namespace) -> int:
    _limit_torch(arguments.threads)
    from export.tuning.tune import tune

    tuning = tune(
        arguments.package,
        arguments.out,
        arguments.data,
        arguments.budget,
        root=arguments.root,
        device=arguments.device,
        frame=arguments.frame,
        threads=arguments.threads,
        precision=arguments.precision,
    )
    if arguments.json:
        print(json.dumps({"package": str(arguments.out), "tuning": tuning.model_dump(mode="json")}, indent=2))
    else:
        print(tuning_report(tuning, arguments.out))
    return 0


def _limit_torch(threads: int | None) -> None:
    """Load PyTorch with threads that do not spin, `threads` of them; None: all cores."""
    wait_without_spinning()
    import torch

    if threads:
        torch.set_num_threads(threads)


def _line(check: Check) -> str:
    kinks = check.points - check.resolved
    note = f", {kinks} of them at a kink that float32 does not resolve" if kinks else ""
    return f"{check.error:9.1e}  {check.what} ({counted(check.points, 'point')}{note})"


def _engines(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        raise ConfigError("--threads is for package, verify and tune; engines are built by the GPU, so leave it out")
    from latentline.backends.settings import GpuSettings
    from latentline.backends.tensorrt.gpu.presence import import_tensorrt
    from latentline.base.strict_yaml import parse

    given = {key: getattr(arguments, key) for key in ("tensorrt", "precision", "batch", "cache")}
    if arguments.workspace is not None:
        given["workspace_mib"] = arguments.workspace
    settings = parse(given, GpuSettings, "the command line")
    import_tensorrt(settings.tensorrt)  # reports what is missing before the next import fails
    from export.engines import build_engines

    report = build_engines(
        arguments.package,
        settings,
        arguments.compute_capability,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    if arguments.json:
        print(json.dumps({"package": str(arguments.package), **asdict(report)}, indent=2))
        return 0
    for graph, size in report.plan_bytes.items():
        print(f"{graph:20} {size / 2**20:7.1f} MiB  {'was ready' if report.found[graph] == 'ready' else 'built'}")
    if report.half_check is not None:
        half = report.half_check
        print(
            f"fp16 moves the score of a tile by {half.median_score:.2g} (median; at worst {half.worst_score:.2g}) "
            f"standard deviations of normal scores, over {counted(half.tiles, 'tile')} searched on the CPU"
        )
    print(
        f"{report.cache}: engines for {report.tensorrt}, compute capability {report.compute_capability}, "
        f"{report.precision}, up to {counted(report.batch, 'tile')} at a time"
    )
    return 0

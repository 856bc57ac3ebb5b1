"""The arguments of `latentline-export tune`, and its report as a table. Neither needs PyTorch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

from latentline.base.arguments import frame_size, milliseconds
from latentline.base.counted import counted
from latentline.scoring.tuning import CpuPrecision, Device, Tuning, TuningTrial

HEAD = ("setting", "ms", "image AUROC", "to the best", "pixel AUROC", "to the best", "")


def add_tune(commands: Any) -> argparse.ArgumentParser:
    """Add the command, and give its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "tune", help="find the settings that detect best within a budget of milliseconds, on this machine"
    )
    parser.add_argument("package", type=Path, help="folder or .zip of the model package")
    parser.add_argument("out", type=Path, help="the tuned package to write: a folder, or a file named .zip")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="RUN", help="run folder of the package, or its training file"
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="data root, if it moved")
    parser.add_argument(
        "--budget", type=milliseconds, required=True, metavar="TIME", help="for the median of a frame, such as 50ms"
    )
    parser.add_argument("--device", choices=get_args(Device), default="cpu", help="that inspects (cpu)")
    parser.add_argument(
        "--frame", type=frame_size, metavar="WxH", help="size of the camera's frames (default: the held-out images)"
    )
    parser.add_argument(
        "--precision",
        choices=get_args(CpuPrecision),
        help="of the networks on the CPU; bfloat16 is checked, and refused where it moves scores (the package's)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def tuning_report(tuning: Tuning, out: Path) -> str:
    """All settings as a table, and what was written."""
    rows = [HEAD, *(_row(trial) for trial in tuning.trials)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    cores = max(tuning.milliseconds_by_threads)
    keep = counted(tuning.threads, f"of {cores} threads keeps", f"of {cores} threads keep")
    threads = "" if tuning.threads == cores else f", and {keep} the budget, too"
    return "\n".join([*lines, f"{out}: {tuning.sentence}; budget {tuning.budget:.3g} ms{threads}"])


def _row(trial: TuningTrial) -> tuple[str, ...]:
    pixel = trial.pixel_auroc
    figures = trial.image_auroc, trial.image_gain, None if pixel is None else f"{pixel:.3f}", trial.pixel_gain
    cells = ["–" if figure is None else str(figure) for figure in figures]
    return str(trial.setting), f"{trial.milliseconds:.3g}", *cells, trial.outcome

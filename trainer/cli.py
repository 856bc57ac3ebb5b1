"""latentline-train: train a model on normal images, evaluate it, compare evaluations."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from latentline.base.arguments import count, count_or_auto, rate
from latentline.base.strict_yaml import load_yaml
from latentline.errors import run_command
from latentline.printable import PrintableFormatter
from latentline.scoring.calibration import FALSE_ALARM_RATE
from trainer.config import TrainConfig
from trainer.data.settings import FolderData


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if options.threads:
        torch.set_num_threads(options.threads)
    return run_command(lambda: int(options.command(options)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="latentline-train", description=__doc__)
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="train a model into a run folder")
    fit.add_argument("config", type=Path, help="YAML, see configs/train/")
    fit.add_argument("run", type=Path, help="folder for checkpoint, curves and samples")
    fit.add_argument("--data", type=Path, help="data root, instead of the configuration's")
    fit.add_argument("--resume", action="store_true", help="continue from the run's checkpoint")
    fit.add_argument("--device", default="auto", help="auto (default: a GPU if there is one), cpu, cuda or cuda:n")
    fit.set_defaults(command=_fit)
    evaluate = commands.add_parser(
        "evaluate", help="inspect the test images with the reference search and write a report"
    )
    evaluate.add_argument("checkpoint", type=Path, help="run folder or checkpoint folder")
    evaluate.add_argument("out", type=Path, nargs="?", help="folder for report and pictures (default: RUN/evaluation)")
    evaluate.add_argument("--data", type=Path, help="data root, if it moved")
    evaluate.add_argument("--iterations", type=count_or_auto, help="number or auto (default: the configuration's)")
    evaluate.add_argument("--limit", type=count, help="at most this many test images of each kind, seeded")
    evaluate.add_argument("--false-alarm-rate", type=rate, default=FALSE_ALARM_RATE, help="promised rate (0.05)")
    evaluate.add_argument("--json", action="store_true", help="print the report as JSON")
    evaluate.set_defaults(command=_evaluate)
    compare = commands.add_parser("compare", help="show evaluations side by side")
    compare.add_argument(
        "places", type=Path, nargs="+", metavar="RUN_OR_REPORT", help="evaluated run, or folder of a report"
    )
    compare.add_argument("--out", type=Path, help="folder for the table as Markdown and JSON, and plots")
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON")
    compare.set_defaults(command=_compare)
    return parser


def load_config(path: Path, data: Path | None) -> TrainConfig:
    """Read a training configuration and make its paths absolute; `data` replaces the data root. Raises ConfigError."""
    config = load_yaml(path, TrainConfig)
    update = {"root": (data or path.parent / config.data.root).resolve()}
    if isinstance(config.data, FolderData) and config.data.known_abnormal is not None:
        update["known_abnormal"] = (path.parent / config.data.known_abnormal).resolve()
    return config.model_copy(update={"data": config.data.model_copy(update=update)})


def _fit(options: argparse.Namespace) -> int:
    from trainer.run.fit import fit

    config = load_config(options.config, options.data)
    fit(config, options.run, options.resume, device=options.device, data_moved=options.data is not None)
    if os.environ.get("RANK", "0") == "0":
        print(f"{options.run}: model '{config.name}' is trained; see {options.run / 'report.md'}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from trainer.evaluation.evaluate_checkpoint import evaluate_checkpoint

    report = evaluate_checkpoint(
        options.checkpoint,
        options.out,
        data=options.data,
        iterations=options.iterations,
        limit=options.limit,
        false_alarm_rate=options.false_alarm_rate,
    )
    print(report.to_json() if options.json else report.to_markdown())
    return 0


def _compare(options: argparse.Namespace) -> int:
    from trainer.evaluation.compare import compare

    comparison = compare(options.places, options.out)
    print(comparison.to_json() if options.json else comparison.to_markdown())
    return 0

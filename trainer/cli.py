"""latentline-train: train a model on normal images, evaluate it, compare evaluations."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from latentline.base.arguments import at_least_one, count, count_or_auto, positive, rate, searched_tiles
from latentline.base.command_parser import CommandParser, add_version
from latentline.base.home import at, expanded
from latentline.base.strict_yaml import load_yaml, parse, read_mapping
from latentline.base.threads import add_threads, wait_without_spinning
from latentline.errors import ConfigError, run_command
from latentline.printable import PrintableFormatter
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.scoring.thresholds import Tail
from latentline.terminal import tolerate_output
from trainer.config import TrainConfig
from trainer.data.settings import FolderData


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    tolerate_output()
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    wait_without_spinning()
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    return run_command(lambda: int(options.command(options)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="latentline-train", description=__doc__)
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=CommandParser)
    fit = commands.add_parser("fit", help="train a model into a run folder")
    fit.add_argument("config", type=Path, nargs="?", help="YAML, see configs/train/; not with --from")
    fit.add_argument("run", type=Path, help="folder for checkpoint, curves and samples")
    fit.add_argument("--data", type=Path, help="data root, instead of the configuration's")
    fit.add_argument(
        "--from", type=Path, dest="old", metavar="OLD_RUN", help="go on from this trained run, with labelled images"
    )
    fit.add_argument(
        "--add",
        type=Path,
        action="append",
        default=[],
        metavar="LABELS",
        help="with --from: folder that latentline-edge labels export wrote; may be given several times",
    )
    fit.add_argument("--images", type=count, help="with --from: images that fine-tune the discriminator (40000)")
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
    evaluate.add_argument(
        "--tiles", type=searched_tiles, help="of a frame to search, all, or auto (default: the configuration's)"
    )
    evaluate.add_argument("--limit", type=at_least_one, help="at most this many test images of each kind, seeded")
    evaluate.add_argument("--false-alarm-rate", type=rate, default=FALSE_ALARM_RATE, help="promised rate (0.05)")
    evaluate.add_argument(
        "--threshold",
        choices=get_args(Tail),
        default="exact",
        help="exact (default) assumes nothing; smooth takes the largest scores for exponential, and needs 8 images",
    )
    evaluate.add_argument("--fresh", action="store_true", help="measure anew what is kept in the run folder")
    evaluate.add_argument("--json", action="store_true", help="print the report as JSON")
    evaluate.set_defaults(command=_evaluate)
    compare = commands.add_parser("compare", help="show evaluations side by side")
    compare.add_argument(
        "places", type=Path, nargs="+", metavar="RUN_OR_REPORT", help="evaluated run, or folder of a report"
    )
    compare.add_argument("--out", type=Path, help="folder for the table as Markdown and JSON, and plots")
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON")
    compare.set_defaults(command=_compare)
    choose = commands.add_parser("choose", help="compare methods and scales on these images, and recommend one")
    choose.add_argument("config", type=Path, help="YAML whose data, augment and preprocessing count")
    choose.add_argument("out", type=Path, nargs="?", help="folder for trials and result (default: runs/choose-NAME)")
    choose.add_argument("--data", type=Path, help="data root, instead of the configuration's")
    choose.add_argument(
        "--minutes",
        type=positive,
        default=20.0,
        help="for the whole comparison; what cannot be finished in them is not begun (20)",
    )
    choose.add_argument("--device", default="auto", help="auto (default: a GPU if there is one), cpu, cuda or cuda:n")
    choose.add_argument("--json", action="store_true", help="print the choice as JSON")
    choose.set_defaults(command=_choose)
    add_threads(parser, fit, evaluate, choose)
    return parser


def load_config(path: Path, data: Path | None) -> TrainConfig:
    """Read a training configuration and make its paths absolute; `data` replaces the data root. Raises ConfigError."""
    return _with_absolute_paths(load_yaml(path, TrainConfig), path, data)


def _with_absolute_paths(config: TrainConfig, path: Path, data: Path | None) -> TrainConfig:
    update: dict[str, object] = {"root": (data or at(path.parent, config.data.root)).resolve()}
    if isinstance(config.data, FolderData) and config.data.known_abnormal is not None:
        given = config.data.known_abnormal
        update["known_abnormal"] = (
            tuple(_beside(path, entry) or entry for entry in given)
            if isinstance(given, tuple)
            else (path.parent / expanded(given)).resolve()
        )
    return config.model_copy(update={"data": config.data.model_copy(update=update)})


def _beside(config: Path, entry: Path) -> Path | None:
    """What an entry of a list means, relative to the configuration; None where there is no such file."""
    path = (config.parent / expanded(entry)).resolve()
    return path if path.exists() else None


def _fit(options: argparse.Namespace) -> int:
    from trainer.run.fit import fit

    config, resume = _fit_config(options)
    fit(config, options.run, resume, device=options.device, data_moved=options.data is not None)
    if os.environ.get("RANK", "0") == "0":
        print(f"{options.run}: model '{config.name}' is trained; see {options.run / 'report.md'}")
    return 0


def _fit_config(options: argparse.Namespace) -> tuple[TrainConfig, bool]:
    """What is trained, and whether the run has a checkpoint to continue from. Raises ConfigError."""
    from trainer.run.refinement import IMAGES, start_refinement

    if options.old is None:
        if options.config is None or options.add or options.images is not None:
            raise ConfigError("fit needs a configuration and a run folder, or --from OLD_RUN with --add LABELS")
        return load_config(options.config, options.data), options.resume
    if options.config is not None or not options.add:
        raise ConfigError("--from goes with --add LABELS and the new run folder; the configuration is that of OLD_RUN")
    if options.resume and (options.run / "checkpoint").exists():
        return load_config(options.run / "config.yaml", options.data), True
    return start_refinement(options.old, options.add, options.run, options.images or IMAGES, options.data), True


def _evaluate(options: argparse.Namespace) -> int:
    from trainer.evaluation.evaluate_checkpoint import default_out, evaluate_checkpoint
    from trainer.evaluation.report_page import outcome

    report = evaluate_checkpoint(
        options.checkpoint,
        options.out,
        data=options.data,
        iterations=options.iterations,
        limit=options.limit,
        false_alarm_rate=options.false_alarm_rate,
        tail=options.threshold,
        fresh=options.fresh,
        tiles=options.tiles,
    )
    if options.json:
        print(report.to_json())
        return 0
    said = [
        report.to_markdown(),
        outcome(report),
        f"Pictures: {(options.out or default_out(options.checkpoint)) / 'report.md'}",
    ]
    print("\n\n".join(part for part in said if part))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from trainer.evaluation.compare import compare

    comparison = compare(options.places, options.out)
    print(comparison.to_json() if options.json else comparison.to_markdown())
    return 0


def _choose(options: argparse.Namespace) -> int:
    from trainer.choose.choose import RECOMMENDED, REPORT, choose, without_method

    given = without_method(read_mapping(options.config))
    config = _with_absolute_paths(parse(given, TrainConfig, str(options.config)), options.config, options.data)
    out = options.out or Path("runs") / f"choose-{options.config.stem}"
    choice = choose(config, out, options.minutes, options.device)
    if options.json:
        print(choice.to_json())
        return 0
    print(f"{choice.to_markdown()}\n\n{choice.counts.sentence}\n\nRecommended: {choice.sentence}.")
    if choice.warning is not None:
        print(f"Warning: {choice.warning}.")
    print(f"Pictures: {out / REPORT}. Next: latentline-train fit {shlex.quote(str(out / RECOMMENDED))} RUN")
    return 0

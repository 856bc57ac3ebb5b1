"""The command line that the questions about detection share."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.command_line import bench_parser
from latentline.base.arguments import count, count_or_auto


def option_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with DATA, OUT, the budget, the search and the seed. A question adds its own options."""
    parser = budget_parser(doc)
    parser.add_argument("--iterations", type=count_or_auto, help="of the search, or auto (default: the YAML's)")
    parser.add_argument("--seed", type=count, default=0, help="of trainings and splits (default: %(default)s)")
    return parser


def budget_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with DATA, OUT and the budget, for a question with several seeds or searches of its own."""
    parser = bench_parser(doc)
    parser.add_argument("data", type=Path, help="folder of the images")
    parser.add_argument("out", type=Path, help="folder for trainings and results; finished trainings in it are kept")
    parser.add_argument("--images", type=count, help="images shown in each training (default: the YAML's)")
    parser.add_argument("--limit", type=count, help="at most N test images of each kind, drawn by seed")
    parser.add_argument(
        "--workers", type=count, default=2, help="trainings at a time, one thread each (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="auto", help="of the trainings: auto (default: a GPU if there is one), cpu, cuda or cuda:n"
    )
    parser.add_argument("--report-only", action="store_true", help="train nothing, only write the tables")
    return parser


def budget_notes(options: argparse.Namespace) -> dict[str, str]:
    """Budget, test images and seed, for the notes above a table."""
    images = "the configuration's" if options.images is None else f"{options.images} images a training"
    return {"budget": images, "test": limit_note(options.limit), "seed": str(options.seed)}


def limit_note(limit: int | None) -> str:
    """Which test images were used, as a note."""
    return "all test images" if limit is None else f"at most {limit} test images of each kind, seeded"


def config_changes(options: argparse.Namespace, **more: object) -> dict[str, object]:
    """What the command line changes in every configuration, by dotted key ("__" in `more` stands for the dot)."""
    given = {name.replace("__", "."): value for name, value in more.items()}
    return {"data.root": str(options.data.resolve()), "schedule.seed": options.seed, **given}

"""The arguments of `latentline-edge archive` and `latentline-edge labels`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_runtime.archive.reader import FrameQuery
from latentline.base.arguments import day, positive


def add_archive_commands(parser: argparse.ArgumentParser) -> None:
    """`archive list | export | prune | repair`."""
    commands = parser.add_subparsers(dest="action", required=True)
    listing = commands.add_parser("list", help="list archived pictures")
    _add_target(listing)
    _add_filters(listing, "queue", 50)
    listing.add_argument("--offset", type=_count, default=0, help="how many to leave out first (default: %(default)s)")
    export = commands.add_parser("export", help="copy pictures, with their labels, to an archive of their own")
    _add_target(export)
    export.add_argument("output", type=Path, metavar="OUT", help="a new folder")
    _add_filters(export, "newest", None)
    prune = commands.add_parser("prune", help="remove the oldest pictures above limits")
    _add_target(prune)
    prune.add_argument("--max-gib", type=positive, help="largest size of the files (default: the station's)")
    prune.add_argument("--max-days", type=positive, help="greatest age (default: the station's)")
    prune.add_argument("--max-pictures", type=_count, help="most pictures (default: the station's)")
    prune.add_argument(
        "--labelled", action="store_true", help="after those without a label remove labelled pictures, too"
    )
    repair = commands.add_parser("repair", help="make the index again from the files, while no station runs")
    _add_target(repair)
    for command in (listing, export, prune, repair):
        command.add_argument("--json", action="store_true", help="print JSON")


def add_labels_commands(parser: argparse.ArgumentParser) -> None:
    """`labels export`."""
    commands = parser.add_subparsers(dest="action", required=True)
    export = commands.add_parser("export", help="write the labelled pictures as a data set for latentline-train")
    _add_target(export)
    export.add_argument("output", type=Path, metavar="OUT", help="a new folder, or an earlier export")
    export.add_argument("--json", action="store_true", help="print JSON")


def query_of(options: argparse.Namespace) -> FrameQuery:
    """Which pictures are meant."""
    scores = None
    if options.min_score is not None or options.max_score is not None:
        least = float("-inf") if options.min_score is None else options.min_score
        scores = (least, float("inf") if options.max_score is None else options.max_score)
    return FrameQuery(
        camera=options.camera,
        day=options.day,
        abnormal=None if options.verdict is None else options.verdict == "abnormal",
        label=options.label,
        kind=options.kind,
        wrong=options.wrong,
        disputed=options.disputed,
        open=options.open,
        scores=scores,
    )


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", type=Path, metavar="STATION.yaml|DIR", help="a station's file, or an archive")


def _add_filters(parser: argparse.ArgumentParser, order: str, limit: int | None) -> None:
    parser.add_argument("--camera", help="of this camera")
    parser.add_argument("--day", type=day, metavar="YYYY-MM-DD", help="of this day, UTC")
    parser.add_argument("--verdict", choices=["normal", "abnormal"], help="what the station said")
    parser.add_argument("--label", choices=["none", "good", "defect", "skip", "any"], help="what people said")
    parser.add_argument("--kind", help="defects of this kind")
    parser.add_argument("--wrong", action="store_true", help="false alarms and misses")
    parser.add_argument("--disputed", action="store_true", help="people disagree about them")
    parser.add_argument("--open", action="store_true", help="without a label, or disputed")
    parser.add_argument("--min-score", type=float, help="smallest score")
    parser.add_argument("--max-score", type=float, help="largest score")
    parser.add_argument(
        "--order",
        choices=["queue", "newest", "score"],
        default=order,
        help="queue: disputed ones first, then those near the threshold (default: %(default)s)",
    )
    parser.add_argument("--limit", type=_count, default=limit, help=f"most pictures (default: {limit or 'all'})")


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError("give 0 or more")
    return count

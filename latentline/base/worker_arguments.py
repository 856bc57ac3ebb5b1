"""The options of commands whose work several processes share."""

from __future__ import annotations

import argparse

from latentline.base.arguments import at_least_one


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add `--workers` and `--ray`."""
    parser.add_argument(
        "--workers",
        type=at_least_one,
        metavar="N",
        help="processes (default: one for each core, or CPU of the cluster)",
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="work on this Ray cluster: HOST:PORT, ray://HOST:PORT or auto")

"""The options of `latentline-edge page`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `add-user`, `new-password`, `remove-user` and `users`."""
    actions = parser.add_subparsers(dest="action", required=True)
    helps = {
        "add-user": "add a user, and print the password made for them, once",
        "new-password": "give a user a new password, and print it, once",
        "remove-user": "remove a user",
        "users": "list the users and their roles",
    }
    for name, text in helps.items():
        action = actions.add_parser(name, help=text)
        action.add_argument("config", type=Path, metavar="STATION.yaml")
        if name != "users":
            action.add_argument("user", metavar="NAME")
        if name == "add-user":
            action.add_argument(
                "--role",
                choices=["operator", "engineer"],
                default="operator",
                help="an operator watches and labels; an engineer also changes threshold and model (default: operator)",
            )

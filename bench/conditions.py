"""When, where and with what a bench ran: without that, its numbers cannot be compared with others."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

from bench.command_line import program
from latentline.base.counted import counted
from latentline.base.processor import processor

PACKAGES = ("latentline", "torch", "openvino", "numpy")


def conditions() -> dict[str, str]:
    """Date, machine, versions and command line of this run, by name."""
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": f"{processor()}, {counted(len(os.sched_getaffinity(0)), 'core')}",
        "versions": ", ".join([f"Python {platform.python_version()}", *(f"{n} {_version(n)}" for n in PACKAGES)]),
        "command": shlex.join(["python", *program(), *sys.argv[1:]]),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from source"

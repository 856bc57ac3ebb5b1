"""When, where and with what a bench ran: without that, its numbers cannot be compared with others."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.command_line import program

PACKAGES = ("latentline", "torch", "openvino", "numpy")


def conditions() -> dict[str, str]:
    """Date, machine, versions and command line of this run, by name."""
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": f"{processor()}, {len(os.sched_getaffinity(0))} cores",
        "versions": ", ".join([f"Python {platform.python_version()}", *(f"{n} {_version(n)}" for n in PACKAGES)]),
        "command": shlex.join(["python", *program(), *sys.argv[1:]]),
    }


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from source"

"""A station process whose threads cannot be started, or whose disk hangs, when the test says so."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest


class Harm:
    """The switches of `harm.c`. environment: for the process that is to be harmed."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("g++")
        if compiler is None:
            pytest.skip("A C COMPILER IS MISSING: threads and disks were not harmed; install the package `g++`")
        library, self._switches = folder / "harm.so", folder / "harm.switches"
        source = Path(__file__).with_name("harm.c")
        flags = ["-x", "c", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run([compiler, *flags], check=True)
        self.set()
        self.environment = {"LD_PRELOAD": str(library), "HARM": str(self._switches)}

    def set(self, *, refuse_threads: bool = False, hang_disk: bool = False) -> None:
        """From now on."""
        with self._switches.open("r+b" if self._switches.exists() else "wb") as file:
            file.write(struct.pack("=qq", refuse_threads, hang_disk))


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def ask(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a page; (0, {}) while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else {}
    except (OSError, http.client.HTTPException):
        return 0, {}
    finally:
        connection.close()

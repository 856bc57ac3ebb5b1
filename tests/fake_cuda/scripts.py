"""Scripts for tests that end their process. Each runs in a process of its own, with pycuda on the emulated driver."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from tests.paths import ROOT

WITH_PYCUDA = """
import ctypes
from tests.fake_cuda.driver import FakeDriver
driver = FakeDriver.load()
import numpy as np
import pycuda.driver as cuda
cuda.init()
context = cuda.Device(0).retain_primary_context()
context.push()
"""


def run_script(script: str, start: str = WITH_PYCUDA) -> subprocess.CompletedProcess[str]:
    """Run a script that has `driver`, `cuda`, `np`, `ctypes` and a current `context`, unless `start` is another."""
    text = start + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True)

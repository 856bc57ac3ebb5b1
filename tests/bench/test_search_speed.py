"""The speed bench runs from a clone, gives the promised figures, and all its ways compute the same."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_bench_compares_equal_results() -> None:
    """JSON with the promised keys; gradient, ẑ and loss of the exported search equal those of the naive loop."""
    arguments = ["--px", "32", "--iterations", "2", "--repeats", "2", "--threads", "1", "--json"]
    command = [sys.executable, "bench/search_speed.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env={"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    promised = {"naive_ms", "frozen_ms", "exported_ms", "ratio_naive", "ratio_frozen", "gemm_share"}
    assert promised <= set(figures) and all(figures[name] > 0 for name in promised)
    assert figures["gradient_error"] < 1e-3
    assert figures["z_difference_exported"] < 1e-2 and figures["loss_difference_exported"] < 1e-4

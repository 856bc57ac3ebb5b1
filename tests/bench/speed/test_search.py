"""The bench of the search runs from a clone, prints every figure, and all its ways compute the same."""

import json
import subprocess
import sys

from tests.paths import ROOT


def test_the_bench_compares_equal_results() -> None:
    """JSON with every documented key; gradient, ẑ and loss of the exported search equal those of the naive loop."""
    options = ["--px", "32", "--iterations", "2", "--repeats", "2", "--threads", "1", "--json"]
    command = [sys.executable, "-m", "bench.speed.search", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    documented = {"naive_ms", "frozen_ms", "exported_ms", "ratio_naive", "ratio_frozen", "gemm_share"}
    assert documented <= set(figures) and all(figures[name] > 0 for name in documented)
    assert figures["gradient_error"] < 1e-3
    assert figures["z_difference_exported"] < 1e-2 and figures["loss_difference_exported"] < 1e-4

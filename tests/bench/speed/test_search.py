"""The bench of the search prints every figure, and all its ways compute the same."""

import json
import sys

import pytest
import torch

from bench.speed import search, search_variants
from tests.exports import export_once
from tests.packages import networks


def test_the_bench_compares_equal_results(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON with every documented key; gradient, ẑ and loss of the exported search equal those of the naive loop."""
    monkeypatch.setattr(search_variants, "_random_networks", lambda px: networks(px, 3, 8, 32 * px, 16))
    monkeypatch.setattr(search, "export_model", export_once)
    monkeypatch.setattr(search_variants, "GEMM_SIZE", 256)
    monkeypatch.setattr(search, "PAUSE", 0.0)
    options = ["--px", "32", "--iterations", "2", "--repeats", "2", "--threads", "1", "--json"]
    monkeypatch.setattr(sys, "argv", ["search", *options])
    threads = torch.get_num_threads()
    try:
        assert search.main() == 0
    finally:
        torch.set_num_threads(threads)
    figures = json.loads(capsys.readouterr().out)
    documented = {"naive_ms", "frozen_ms", "exported_ms", "ratio_naive", "ratio_frozen", "gemm_share"}
    assert documented <= set(figures) and all(figures[name] > 0 for name in documented)
    assert figures["gradient_error"] < 1e-3
    assert figures["z_difference_exported"] < 1e-2 and figures["loss_difference_exported"] < 1e-4

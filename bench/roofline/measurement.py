"""Measured times of a search, to compare with the floors: from a device's report, or of this machine's CPU."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.base.counted import counted
from latentline.base.processor import processor
from latentline.errors import ConfigError
from latentline.package.model_package import ModelPackage, SearchModel


@dataclass(frozen=True)
class MeasuredSearch:
    """Time of one search of `batch` tiles, milliseconds; with percentiles when several searches were timed."""

    device: str
    precision: str
    iterations: int
    batch: int
    search_ms: float
    p10_ms: float | None = None
    p90_ms: float | None = None


def read_report(path: Path, iterations: int, precision: str) -> MeasuredSearch:
    """The measured time in a device's report.

    Where the report does not say otherwise, it holds for `iterations`, one tile and `precision`. Raises ConfigError
    when the file cannot be read or is not such a report.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        found = MeasuredSearch(
            device=str(report["device"]),
            precision=str(report.get("precision", precision)),
            iterations=int(report.get("iterations", iterations)),
            batch=int(report.get("batch", 1)),
            search_ms=float(report["search_ms"]),
        )
        if not (found.search_ms > 0 and found.batch > 0 and found.iterations >= 0):
            raise ValueError(found)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the JSON report of a device") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigError(f'{path}: no report of a search; it needs at least "device" and "search_ms"') from None
    return found


def measure_cpu(package: ModelPackage, cases: list[tuple[int, int]], repeats: int) -> list[MeasuredSearch]:
    """Median, p10 and p90 of `repeats` searches of noise for each case (iterations, batch), after a warm-up."""
    spec = package.spec
    measured = []
    for iterations, batch in cases:
        print(f"timing the CPU: n {iterations}, batch {batch}", file=sys.stderr, flush=True)
        settings = spec.search.model_copy(update={"iterations": iterations})
        model = SearchModel(spec.model_copy(update={"search": settings}), package.graphs, package.selftest)
        shape = (batch, spec.tile_size, spec.tile_size, spec.channels)
        tiles = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        searcher = OpenVinoSearcher(model)
        try:
            searcher.search(tiles)
            times = [_milliseconds(searcher, tiles) for _ in range(repeats)]
        finally:
            searcher.close()
        p10, median, p90 = (float(value) for value in np.percentile(times, [10, 50, 90]))
        measured.append(
            MeasuredSearch(
                f"CPU, {processor()}, {counted(os.cpu_count() or 1, 'core')}",
                "fp32",
                iterations,
                batch,
                median,
                p10,
                p90,
            )
        )
    return measured


def _milliseconds(searcher: OpenVinoSearcher, tiles: np.ndarray) -> float:
    start = time.perf_counter()
    searcher.search(tiles)
    return 1e3 * (time.perf_counter() - start)

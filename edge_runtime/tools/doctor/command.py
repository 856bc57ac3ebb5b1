"""`latentline-edge doctor`: choose the model to examine with, show progress, print and write the report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from edge_runtime.config import load_station
from edge_runtime.tools.check import check_connections
from edge_runtime.tools.doctor.examination import examine
from edge_runtime.tools.doctor.facts import Fact
from edge_runtime.tools.doctor.report import to_text, write_report
from latentline.backends.settings import Backend, GpuSettings
from latentline.package.model_package import load_package

DEMO_MODEL = Path(__file__).parents[1] / "demo" / "model"
DEMO_ITERATIONS = 10  # the demo itself does not search, and a machine's search is what is to be examined


def run_doctor(target: Path | None, precision: Any, output: Path, seconds: float, as_json: bool) -> int:
    """Examine this machine for a station, a package or (None) the demo's model; returns 0, or 1 when it fails.

    Raises ConfigError or PackageError when the target cannot be read.
    """
    backend: Backend = "auto"
    settings, facts, path = GpuSettings(), [], target or DEMO_MODEL
    if target is not None and target.suffix in (".yaml", ".yml"):
        config = load_station(target)
        backend, settings, path = config.backend, config.gpu, config.model
        facts = [Fact(finding.subject, finding.message, finding.ok) for finding in check_connections(config)]
    if precision is not None:
        settings = settings.model_copy(update={"precision": precision})
    package = load_package(path)
    if target is None:
        package = package.with_iterations(DEMO_ITERATIONS)
    report = examine(package, backend, settings, seconds, lambda line: print(f"... {line}", file=sys.stderr))
    report.facts += facts
    files = write_report(report, output)
    print(json.dumps(report.to_json(), indent=2) if as_json else to_text(report))
    print(f"written: {', '.join(map(str, files))}", file=sys.stderr)
    return 0 if report.passed else 1

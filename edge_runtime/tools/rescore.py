"""`latentline-edge rescore`: score a folder of pictures with a package, into a table."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from latentline.base.durations import duration
from latentline.errors import ConfigError
from latentline.rescoring.score_table import MISSING


def run_rescore(folder: Path, path: Path, out: Path, workers: int | None, as_json: bool) -> int:
    """Score the pictures in `folder` with the package at `path` into the table `out`; returns 0.

    workers  processes; None: one for each core
    Raises DatasetError, PackageError, ConfigError and WorkersError.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        raise ConfigError(f"tqdm {MISSING}") from None
    from latentline.backends.openvino.searcher import usable_cores
    from latentline.package.model_package import load_package
    from latentline.rescoring.local_crew import LocalCrew
    from latentline.rescoring.pictures import list_pictures
    from latentline.rescoring.rescore import rescore

    package, pictures = load_package(path), list_pictures(folder)
    processes = min(workers or usable_cores(), len(pictures))
    with tqdm(total=len(pictures), unit="img", desc=out.name, delay=2) as bar:
        report = rescore(pictures, package, out, lambda opened: LocalCrew(opened, processes), bar.update)
    if as_json:
        print(json.dumps(asdict(report), indent=2))
        return 0
    kept = f", {report.kept} of them scored by an earlier run" if report.kept else ""
    again = f", {report.retried} batches tried again" if report.retried else ""
    print(
        f"{out}: {report.pictures} pictures scored with {report.model}{kept}; {report.abnormal} abnormal, "
        f"{report.unreadable} unreadable{again}, in {duration(report.seconds)}"
    )
    return 0

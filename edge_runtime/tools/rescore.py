"""`latentline-edge rescore`: score a folder of pictures with a package, into a table."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from latentline.base.counted import counted
from latentline.base.durations import duration
from latentline.errors import ConfigError
from latentline.rescoring.score_table import MISSING


def run_rescore(options: argparse.Namespace) -> int:
    """Score the pictures of a folder, or of an archive, with a package into a table; returns 0.

    Raises ArchiveError, DatasetError, PackageError, ConfigError and WorkersError.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        raise ConfigError(f"tqdm {MISSING}") from None
    from latentline.evidence.sources import labelled_pictures
    from latentline.package.model_package import load_package
    from latentline.rescoring.crews import crew_opener
    from latentline.rescoring.rescore import rescore

    folder: Path = options.pictures.absolute()
    out: Path = options.out
    package, pictures = load_package(options.package), [each.file for each in labelled_pictures(folder)]
    open_crew = crew_opener(options, folder, len(pictures))
    with tqdm(total=len(pictures), unit="img", desc=out.name, delay=2) as bar:
        report = rescore(pictures, package, out, open_crew, bar.update)
    if options.json:
        print(json.dumps(asdict(report), indent=2))
        return 0
    kept = f", {report.kept} of them scored by an earlier run" if report.kept else ""
    again = f", {counted(report.retried, 'batch', 'batches')} tried again" if report.retried else ""
    print(
        f"{out}: {counted(report.pictures, 'picture')} scored with {report.model}{kept}; {report.abnormal} abnormal, "
        f"{report.unreadable} unreadable{again}, in {duration(report.seconds)}"
    )
    return 0

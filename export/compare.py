"""`latentline-export compare`: two packages on the pictures of an archive."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from latentline.evidence.compare import ComparedPackage, compare_packages, to_json
from latentline.evidence.sources import labelled_pictures
from latentline.evidence.text_table import lines_of
from latentline.package.model_package import load_package
from latentline.printable import printable
from latentline.rescoring.crews import crew_opener


def run_compare(arguments: argparse.Namespace) -> int:
    """Compare, write the report and print what it says; returns 0, whatever is recommended.

    Raises ArchiveError, DatasetError, PackageError, ConfigError and WorkersError.
    """
    old = ComparedPackage(load_package(arguments.old), arguments.old_threshold)
    new = ComparedPackage(load_package(arguments.new), arguments.new_threshold)
    out: Path = arguments.out
    folder: Path = arguments.archive.absolute()
    pictures = labelled_pictures(folder)
    open_crew = crew_opener(arguments, folder, len(pictures))
    with tqdm(total=2 * len(pictures), unit="img", desc="scoring with both", delay=2) as bar:
        result = compare_packages(pictures, old, new, out, open_crew, bar.update)
    if arguments.json:
        print(to_json(result))
    else:
        print("\n".join(printable(line) for line in lines_of(result.comparison)))
        print(f"{out / 'report.html'} has the pictures and the rule")
    return 0

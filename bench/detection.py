"""Detection quality and time of a model package on the test images of its training's split, with the station's backend.

python bench/detection.py PACKAGE RUN OUT [--data DIR] [--limit N] [--json]

Beside the model stands what needs none: the largest pooled deviation of the *input* itself, prepared alike and
standardised on the same held-out normal images. A model that does not beat it has not earned its place.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.model_package import load_package
from edge_runtime.search.openvino_cpu import CpuSearcher
from latentline.calibrate import SCALES
from latentline.errors import run_command
from latentline.evidence import Viewer, pool
from latentline.preprocessing import to_model_range
from trainer.checkpoint import load_checkpoint
from trainer.data.folders import ImageFolder, load
from trainer.data.split import Split
from trainer.evaluate import evaluate, limited
from trainer.metrics import image_auroc


def input_scores(viewer: Viewer, images: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float64]:
    """Log of the largest |Gaussian-pooled deviation of the prepared image from its mean|, [images, scales]."""
    rows = []
    for image in images:
        x = to_model_range(viewer.preprocessing.apply(image)[None])[0].transpose(1, 2, 0)
        x = x - x.mean(axis=(0, 1))
        rows.append([np.log(np.abs(pool(x, scale)).max() + 1e-6) for scale in SCALES])
    return np.array(rows, dtype=np.float64)


def input_baseline(viewer: Viewer, folder: ImageFolder, parts: Split) -> float:
    """Image AUROC of the mean standardised input statistic."""

    def scores(names: tuple[str, ...]) -> npt.NDArray[np.float64]:
        return input_scores(viewer, list(load(folder.root, names).images.values()))

    normal = scores(parts.held_out)
    names = tuple(name for defect in parts.test_abnormal.values() for name in defect)
    standard = [((scores(n) - normal.mean(0)) / normal.std(0)).mean(1) for n in (parts.test_good, names)]
    return image_auroc(*standard)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("run", type=Path, help="run folder of the training: which images it must not be tested on")
    parser.add_argument("out", type=Path, help="folder for report and pictures")
    parser.add_argument("--data", type=Path, help="data root, if it moved")
    parser.add_argument("--limit", type=int, help="at most so many images of each kind, seeded")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.run)
    package = load_package(options.package)
    folder = ImageFolder.scan((options.data or checkpoint.config.data.root).resolve())
    parts = limited(checkpoint.split, options.limit, checkpoint.config.schedule.seed)
    searcher = CpuSearcher(package)
    try:
        report = evaluate(package.inspector(searcher), package.manifest.search.iterations, folder, parts, options.out)
    finally:
        searcher.close()
    baseline = input_baseline(package.viewer, folder, parts)
    if options.json:
        print(json.dumps({**asdict(report), "input_baseline_image_auroc": baseline}, indent=1))
    else:
        print(report.to_markdown())
        print(f"| image AUROC of the prepared input, no model | {baseline:.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

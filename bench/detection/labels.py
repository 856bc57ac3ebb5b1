"""What do labels improve? A model judges a stream, people label some of it, and the model goes on learning.

python -m bench.detection.labels RUN OUT [--labels 10 30 100] [--images 40000]

RUN is a finished training of Noisy-AnoGAN on a folder of images. Its test images, normal and abnormal, in the order of
their parts, are the stream. The package of RUN judges the first three quarters of the parts. Of these images the ones
nearest to the threshold are labelled, as the review queue of a station shows them, and as what they are; defects with
their masks. `fit --from RUN --add LABELS` learns from them, and the last quarter of the stream says what came of it:
false alarms among its normal images, missed ones among its abnormal images, and image AUROC.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from bench.command_line import bench_parser
from bench.detection.protocol.tables import Cell, Table, write_tables
from export.from_checkpoint import package_checkpoint
from latentline.base.arguments import count
from latentline.base.atomic import new_folder
from latentline.errors import DatasetError, run_command
from latentline.inspection.result import InspectionResult
from latentline.model import open_model
from trainer.checkpoint import load_checkpoint
from trainer.data.source import ImageSource
from trainer.data.sources import open_source
from trainer.evaluation.intervals import estimate, rate, resample
from trainer.evaluation.metrics import image_auroc, weighted_auroc
from trainer.run.fit import fit
from trainer.run.refinement import IMAGES, start_refinement

LEGEND = "Brackets: 95 % intervals; of rates exact ones, over images; of AUROC over parts (bootstrap). One seed."
JUDGED = 4  # the last of so many equal lots of parts is judged, the others are the stream before it
GOOD = "good"


@dataclass(frozen=True)
class StreamImage:
    """name: in the source. kind: of its defect, or good. part: that it shows."""

    name: str
    kind: str
    part: str


def stream_of(run: Path) -> tuple[ImageSource, list[StreamImage]]:
    """The source of a training and its test images in the order of their parts. Raises DatasetError without defects."""
    checkpoint = load_checkpoint(run)
    config, split = checkpoint.config, checkpoint.split
    source = open_source(config.data, config.preprocessing.model_copy(update={"region": None}))  # as a camera sees it
    groups = source.groups()
    kinds = {GOOD: split.test_good, **split.test_abnormal}
    images = [StreamImage(name, kind, groups.get(name, name)) for kind, names in kinds.items() for name in names]
    if len({image.kind for image in images}) < 2:
        raise DatasetError(f"{run}: its test has no defects, or nothing else; a stream needs both")
    return source, sorted(images, key=lambda image: (natural(image.part), image.name))


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts texts by the numbers in them: part 9 comes before part 10."""
    return [(int(digits or 0), other) for digits, other in re.findall(r"(\d+)|(\D+)", text)]


def cut(images: Sequence[StreamImage]) -> tuple[list[StreamImage], list[StreamImage]]:
    """The stream, and its last quarter of parts, which is judged."""
    parts = list(dict.fromkeys(image.part for image in images))
    last = set(parts[len(parts) - len(parts) // JUDGED :])
    return [i for i in images if i.part not in last], [i for i in images if i.part in last]


def judged(run: Path, source: ImageSource, images: Sequence[StreamImage]) -> dict[str, InspectionResult]:
    """What the package of the run, exported where it is missing, says of each image."""
    package = run / "package"
    if not package.exists():
        package_checkpoint(run, package, threads=1)
    with open_model(package, "openvino", threads=1) as model:
        return {i.name: model.inspect(source.read(i.name)) for i in tqdm(images, desc=f"{run.name}: images")}


def write_labels(
    folder: Path, source: ImageSource, images: Sequence[StreamImage], said: Mapping[str, InspectionResult]
) -> None:
    """A folder as `latentline-edge labels export` writes it."""
    with new_folder(folder) as made:
        told = []
        for number, image in enumerate(images):
            below = "train/good" if image.kind == GOOD else f"test/{image.kind}"
            result, picture = said[image.name], source.read(image.name)
            _write(made / below / f"{number:04}.png", picture)
            mask = None if image.kind == GOOD else source.mask(image.name, picture.shape[:2])
            if mask is not None and mask.any():
                _write(made / "ground_truth" / image.kind / f"{number:04}_mask.png", mask.astype(np.uint8) * 255)
            boxes = [list(defect.bbox) for defect in result.defects] if image.kind == GOOD else []
            why = "abnormal" if result.is_abnormal else "near_threshold"
            told.append({"file": f"{below}/{number:04}.png", "group": image.part, "why": why, "boxes": boxes})
        (made / "provenance.json").write_text(json.dumps({"images": told}), encoding="utf-8")
        rows = "".join(f"{row['file']},{row['group']}\n" for row in told)
        (made / "groups.csv").write_text(f"file,tile_group\n{rows}", encoding="utf-8")


def _write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture):
        raise DatasetError(f"{path}: cannot be written")


def figures(images: Sequence[StreamImage], said: Mapping[str, InspectionResult]) -> dict[str, Cell]:
    """False alarms, misses and image AUROC."""
    good, bad = ([said[i.name] for i in images if (i.kind == GOOD) == flag] for flag in (True, False))
    scores = np.array([said[image.name].score for image in images])
    abnormal = np.array([image.kind != GOOD for image in images])
    weights = resample([image.kind for image in images], [image.part for image in images])
    auroc = image_auroc(scores[~abnormal], scores[abnormal])
    return {
        "false alarms": rate(sum(result.is_abnormal for result in good), len(good)),
        "missed": rate(sum(not result.is_abnormal for result in bad), len(bad)),
        "image AUROC": estimate(auroc, partial(weighted_auroc, scores, abnormal), weights),
    }


def refined(run: Path, labels: Path, out: Path, images: int) -> float:
    """Fine-tune `run` with the labels into `out`; the minutes that it took."""
    start = time.perf_counter()
    config = start_refinement(run, [labels], out, images)
    fit(config, out, resume=True, device="cpu")
    return (time.perf_counter() - start) / 60


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("run", type=Path, help="a finished training of noisy_anogan, whose test has defects")
    parser.add_argument("out", type=Path, help="folder for labels, trainings and the table")
    parser.add_argument("--labels", type=count, nargs="+", default=[10, 30, 100], help="how many (10 30 100)")
    parser.add_argument("--images", type=count, default=IMAGES, help="of a fine-tuning (default: %(default)s)")
    options = parser.parse_args()
    source, images = stream_of(options.run)
    before, last = cut(images)
    said = judged(options.run, source, images)
    table = Table("the last quarter of the stream")
    table.add("no labels", figures(last, said))
    queue = sorted(before, key=lambda i: abs(said[i.name].score - said[i.name].threshold))
    for wanted in options.labels:
        labelled, folder = queue[:wanted], options.out / f"{wanted}-labels"
        write_labels(folder, source, labelled, said)
        minutes = refined(options.run, folder, options.out / str(wanted), options.images)
        cells = figures(last, judged(options.out / str(wanted), source, last))
        good = sum(image.kind == GOOD for image in labelled)
        told: dict[str, Cell] = {"good": str(good), "defects": str(len(labelled) - good)}
        table.add(f"{wanted} labels", {**told, **cells, "minutes": minutes})
    parts = len({image.part for image in before}), len({image.part for image in last})
    normal = sum(image.kind == GOOD for image in last)
    notes = {
        "stream": f"{len(before)} images of {parts[0]} parts, then {len(last)} of {parts[1]} parts",
        "judged": f"{normal} normal and {len(last) - normal} abnormal images",
    }
    print(write_tables(options.out, "Labels from the line", notes, [table], LEGEND))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

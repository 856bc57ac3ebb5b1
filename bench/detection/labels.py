"""What do labels improve? A model judges a stream, people label some of it, and the model goes on learning.

python -m bench.detection.labels RUN OUT [--stream test|demo] [--labels 10 30 100] [--images N]

RUN is a finished training of Noisy-AnoGAN. The stream is either its test images, normal and abnormal, in the order of
their parts, or frames of the demo's camera, whose light drifts from the first to the last. The package of RUN judges
them, and a station's archive keeps the first three quarters of the parts. Its pictures are labelled as what they are,
in the order of the review queue, the nearest to the threshold first; defects with their masks. `latentline-edge labels
export` and `latentline-train fit --from RUN --add LABELS` make a new model of them, and the last quarter of the stream
says what came of it: false alarms among its normal images, missed ones among its abnormal images, and image AUROC. What
the threshold has no part in are the misses at 5 % false alarms: those below 95 % of the judged normal images.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from bench.command_line import bench_parser
from bench.detection.labelling.drifting_demo import DriftingDemo
from bench.detection.labelling.station import Said, judge, judge_and_archive, label_next
from bench.detection.labelling.stream import GOOD, LabelStream, StreamFrame, StreamOfParts, lots
from bench.detection.protocol.tables import Cell, Table, write_tables
from edge_runtime.archive.training_set import export_labels
from export.from_checkpoint import package_checkpoint
from latentline.base.arguments import count
from latentline.errors import run_command
from latentline.model import Model, open_model
from trainer.evaluation.intervals import estimate, rate, resample
from trainer.evaluation.metrics import image_auroc, weighted_auroc
from trainer.run.fit import fit
from trainer.run.refinement import IMAGES, start_refinement

LEGEND = "Brackets: 95 % intervals; of rates exact ones, over images; of AUROC over parts (bootstrap). One seed."
AT = 0.05  # of the normal images that are judged: a threshold that no calibration knows, for comparison
QUARTERS = ("first", "second", "third", "last")


def figures(frames: Sequence[StreamFrame], said: Mapping[str, Said]) -> dict[str, Cell]:
    """False alarms and misses by the model's threshold; misses by one that AT of these normal images exceed; AUROC.

    A quarter of a stream may have normal images alone, or none: what needs the others is None.
    """
    good, bad = ([said[f.name] for f in frames if (f.kind == GOOD) == flag] for flag in (True, False))
    cells: dict[str, Cell] = {
        "false alarms": rate(sum(one.abnormal for one in good), len(good)) if good else None,
        "missed": rate(sum(not one.abnormal for one in bad), len(bad)) if bad else None,
    }
    if not good or not bad:
        return cells
    scores = np.array([said[frame.name].score for frame in frames])
    abnormal = np.array([frame.kind != GOOD for frame in frames])
    weights = resample([frame.kind for frame in frames], [frame.part for frame in frames])
    auroc = image_auroc(scores[~abnormal], scores[abnormal])
    other = np.quantile(scores[~abnormal], 1 - AT, method="higher")
    cells[f"missed at {AT:.0%} false alarms"] = rate(int((scores[abnormal] <= other).sum()), len(bad))
    cells["image AUROC"] = estimate(auroc, partial(weighted_auroc, scores, abnormal), weights)
    return cells


@contextmanager
def packaged(run: Path) -> Iterator[Model]:
    """The package of the run, exported where it is missing."""
    package = run / "package"
    if not package.exists():
        package_checkpoint(run, package, threads=1)
    with open_model(package, "openvino", threads=1) as model:
        yield model


def refined(run: Path, labels: Path, out: Path, images: int) -> float:
    """Fine-tune `run` with the labels into `out`; the minutes that it took."""
    start = time.perf_counter()
    config = start_refinement(run, [labels], out, images)
    fit(config, out, resume=True, device="cpu")
    return (time.perf_counter() - start) / 60


def measure(
    run: Path, out: Path, stream: LabelStream, wanted: Sequence[int], images: int
) -> Iterator[tuple[Table, Table]]:
    """After each number of labels: figures of all quarters by the model of `run`, and of the last one with labels."""
    quarters, archive = lots(stream.frames), out / "archive"
    before, last = list(chain(*quarters[:-1])), quarters[-1]
    with packaged(run) as model:
        said = judge_and_archive(model, stream, before, archive) | judge(model, stream, last)
    unlabelled, labelled = Table("before any label"), Table("the last quarter of the stream")
    for name, quarter in zip(QUARTERS, quarters, strict=True):
        unlabelled.add(f"{name} quarter", figures(quarter, said))
    labelled.add("no labels", figures(last, said))
    truth, done = {frame.name: frame for frame in before}, 0
    for number in sorted(wanted):
        label_next(archive, stream, truth, number - done)
        done, place = number, out / str(number)
        told = export_labels(archive, out / f"{number}-labels")
        minutes = refined(run, out / f"{number}-labels", place, images)
        with packaged(place) as model:
            cells = figures(last, judge(model, stream, last))
        kinds: dict[str, Cell] = {"labelled good": str(told.good), "labelled defects": str(told.defects)}
        labelled.add(f"{number} labels", {**kinds, **cells, "minutes of training": minutes})
        yield unlabelled, labelled


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("run", type=Path, help="a finished training of noisy_anogan")
    parser.add_argument("out", type=Path, help="new folder for the archive, labels, trainings and the tables")
    parser.add_argument("--stream", choices=["test", "demo"], default="test", help="(default: %(default)s)")
    parser.add_argument("--labels", type=count, nargs="+", default=[10, 30, 100], help="how many (10 30 100)")
    parser.add_argument("--images", type=count, default=IMAGES, help="of a fine-tuning (default: %(default)s)")
    options = parser.parse_args()
    stream: LabelStream = DriftingDemo() if options.stream == "demo" else StreamOfParts(options.run)
    quarters = lots(stream.frames)
    facts = [f"{len(q)} images of {len({f.part for f in q})} parts" for q in quarters]
    normal = sum(frame.kind == GOOD for frame in quarters[-1])
    notes = {
        "stream": f"{options.stream}; its quarters have " + ", ".join(facts),
        "judged": f"{normal} normal and {len(quarters[-1]) - normal} abnormal images",
    }
    text = ""
    for tables in measure(options.run, options.out, stream, options.labels, options.images):
        text = write_tables(options.out, "Labels from the line", notes, list(tables), LEGEND)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

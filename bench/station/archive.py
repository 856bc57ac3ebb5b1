"""How fast does a large archive answer, and what does archiving cost the frames?

python -m bench.station.archive [--frames 100000] [--inspections 400]

The first table has the times of lists of an index of `--frames` made-up verdicts, without pictures. The second has the
time of a frame of the demo, from the start of its inspection until the archive has taken it, with and without an
archive that keeps every frame; rounds of both alternate, so that other load hits both.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.command_line import bench_parser
from bench.conditions import conditions
from edge_runtime.archive.index import INDEX_NAME, add_frames, create_index, open_index
from edge_runtime.archive.label import FrameLabel
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.archive.record import ArchivedVerdict
from edge_runtime.archive.settings import ArchiveSection, ArchiveShares
from edge_runtime.archive.writer import ArchiveWriter
from edge_runtime.cameras.base import Frame
from edge_runtime.mqtt.events import utc
from latentline.errors import run_command
from latentline.model import Model, open_model

PACKAGE = Path(__file__).parents[2] / "edge_runtime" / "tools" / "demo" / "model"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
ROUNDS = 8
REPEATS = 20
SIZE = (480, 640)


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("--frames", type=int, default=100_000, help="pictures in the index (default: %(default)s)")
    parser.add_argument("--inspections", type=int, default=400, help="inspected frames (default: %(default)s)")
    options = parser.parse_args()
    for name, value in conditions().items():
        print(f"{name:9} {value}")
    folder = Path(tempfile.mkdtemp(prefix="archive-bench-"))
    try:
        if options.frames:
            _queries(folder / "large", options.frames)
        if options.inspections:
            _frame_path(folder / "small", options.inspections)
    finally:
        shutil.rmtree(folder)
    return 0


def _queries(folder: Path, count: int) -> None:
    _fill(folder, count)
    reader, labels = ArchiveReader(folder), ArchiveLabels(folder)
    some = reader.frames(FrameQuery(), "newest", count // 20)
    names = [frame.verdict.id for frame in some.frames]
    for start, verdict in ((0, "good"), (1, "skip")):
        labels.set(names[start::3], FrameLabel(verdict=verdict), "ann")  # type: ignore[arg-type]
    labels.set(names[2::3], FrameLabel(verdict="defect", kind="scratch"), "ann")
    labels.set(names[:10], FrameLabel(verdict="defect", kind="scratch"), "bob")
    day = some.frames[0].verdict.day
    questions: dict[str, Callable[[], object]] = {
        "review queue, first page": lambda: reader.frames(FrameQuery(open=True)),
        "review queue, page 1000": lambda: reader.frames(FrameQuery(open=True), offset=50 * min(1000, count // 100)),
        "queue of one camera": lambda: reader.frames(FrameQuery(open=True, camera="c1")),
        "queue of one day": lambda: reader.frames(FrameQuery(open=True, day=day)),
        "newest": lambda: reader.frames(FrameQuery(), "newest"),
        "newest alarms of one camera": lambda: reader.frames(FrameQuery(camera="c2", abnormal=True), "newest"),
        "false alarms and misses": lambda: reader.frames(FrameQuery(wrong=True), "newest"),
        "defects of one kind": lambda: reader.frames(FrameQuery(kind="scratch"), "newest"),
        "scores in a range, highest first": lambda: reader.frames(FrameQuery(scores=(2.0, 3.5)), "score"),
        "no picture is like that": lambda: reader.frames(FrameQuery(open=True, day="1999-01-01")),
        "counts for the filters": reader.facets,
        "scores for a histogram": lambda: reader.scores(FrameQuery()),
        "one picture": lambda: reader.frame(names[0]),
        "one label": lambda: labels.set([names[-1]], FrameLabel(verdict="good"), "cid"),
    }
    print(f"\n| {count} pictures | median ms | largest ms |\n|---|---|---|")
    for name, ask in questions.items():
        times = [_milliseconds(ask) for _ in range(REPEATS)]
        print(f"| {name} | {np.median(times):.1f} | {max(times):.1f} |")


def _fill(folder: Path, count: int) -> None:
    folder.mkdir()
    create_index(folder / INDEX_NAME)
    rng = np.random.default_rng(0)
    with open_index(folder / INDEX_NAME) as database, tqdm(total=count, desc="index") as progress:
        for start in range(0, count, 2000):
            made = [_verdict(number, rng) for number in range(start, min(count, start + 2000))]
            database.execute("BEGIN")
            with database:
                add_frames(database, made)
            progress.update(len(made))


def _verdict(number: int, rng: np.random.Generator) -> ArchivedVerdict:
    at, camera, score = START + timedelta(seconds=20 * number), f"c{number % 4}", float(rng.gamma(4.0, 0.5))
    clock = utc(at).translate(str.maketrans("", "", "-:."))
    defect = {"bbox": [10, 20, 30, 40], "area_px": 700, "peak": 9.1, "mean": 4.2, "source": "map"}
    outline = [[int(x), int(y)] for x, y in rng.integers(0, 640, (12, 2))]
    abnormal = score > 3.0
    return ArchivedVerdict(
        id=f"{clock}-{camera}-{number:012x}",
        event_id=f"event-{number}" if abnormal else None,
        captured_at=utc(at),
        camera=camera,
        source=f"{number}.png",
        score=score,
        threshold=3.0,
        abnormal=abnormal,
        components={"peak": score, "verdict": score / 2, "loss": 0.1},
        model="ab" * 32,
        model_name="made up",
        defects=({**defect, "polygon": outline},) if abnormal else (),
        width=640,
        height=480,
        channels=1,
        pixels=f"{number:064x}",
        why="abnormal" if abnormal else "normal",
        suffix=".png",
        picture_sha256="00" * 32,
        picture_bytes=250_000,
        size=280_000,
    )


def _frame_path(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    images = [rng.normal(128, 20, (*SIZE, 1)).clip(0, 255).astype(np.uint8) for _ in range(8)]
    settings = ArchiveSection(path=folder, min_free_mib=0, shares=ArchiveShares(normal=1.0))
    writer = ArchiveWriter(settings, lambda _code, sentence: print(f"fault: {sentence}") if sentence else None)
    writer.thread.start()
    times: dict[bool, list[float]] = {False: [], True: []}
    with open_model(PACKAGE, "openvino") as model:
        for round_ in tqdm(range(ROUNDS), desc="rounds"):
            archived = bool(round_ % 2)
            for index in range(count // ROUNDS):
                times[archived].append(_frame(model, images[index % len(images)], writer if archived else None))
            _drained(writer)
    writer.close(60)
    print(f"\n| {SIZE[1]} x {SIZE[0]} px, {count // 2} frames each | p50 ms | p99 ms |\n|---|---|---|")
    for archived, found in times.items():
        label = "every frame archived" if archived else "no archive"
        print(f"| {label} | {np.percentile(found, 50):.1f} | {np.percentile(found, 99):.1f} |")
    print(f"\narchived {writer.numbers.written}, dropped {dict(writer.numbers.dropped) or 'none'}")


def _frame(model: Model, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], writer: ArchiveWriter | None) -> float:
    def inspect() -> None:
        at = datetime.now(timezone.utc)
        result = model.inspect(image)
        if writer is not None:
            writer.offer(Frame(image, at, "top", "made up", 0), result, model.identity, None)

    return _milliseconds(inspect)


def _drained(writer: ArchiveWriter) -> None:
    while writer.numbers.waiting:
        time.sleep(0.05)


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    raise SystemExit(run_command(main))

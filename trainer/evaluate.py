"""Evaluate an inspector on the test images of a split: scores, maps, threshold, and pictures to look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.atomic import write_text
from latentline.calibrate import calibrate
from latentline.errors import DatasetError
from latentline.evidence import Viewer
from latentline.explainer import HostExplainer
from latentline.inspection import Inspection
from latentline.inspector import Inspector
from latentline.panels import save_panel
from trainer.checkpoint import load_checkpoint
from trainer.data.folders import ImageFolder, load
from trainer.data.held_out import read_held_out
from trainer.data.split import Split
from trainer.metrics import PixelAuroc, f1_max, image_auroc
from trainer.plots import save_maps, save_roc, save_scores
from trainer.reference_searcher import ReferenceSearcher

UInt8 = npt.NDArray[np.uint8]
PICTURES_PER_KIND = 2


@dataclass
class Report:
    """Detection quality on test images; one field a figure."""

    backend: str
    iterations: int
    normal_images: int
    abnormal_images: dict[str, int]
    image_auroc: float
    image_auroc_by_defect: dict[str, float]
    component_auroc: dict[str, float]
    pixel_auroc: float | None
    f1_max: float
    f1_max_threshold: float
    threshold: float
    promised_false_alarm_rate: float
    false_alarm_rate: float
    detection_rate: float
    seconds_per_image: float
    skipped: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1)

    def to_markdown(self) -> str:
        """As a table."""
        pixel = "no masks" if self.pixel_auroc is None else f"{self.pixel_auroc:.3f}"
        rows = [
            ("test images", f"{self.normal_images} normal, {sum(self.abnormal_images.values())} abnormal"),
            ("image AUROC", f"{self.image_auroc:.3f}"),
            *((f"image AUROC, {name}", f"{value:.3f}") for name, value in self.image_auroc_by_defect.items()),
            *((f"image AUROC of component {name} alone", f"{v:.3f}") for name, v in self.component_auroc.items()),
            ("pixel AUROC", pixel),
            ("F1-max", f"{self.f1_max:.3f} at {self.f1_max_threshold:.3f}"),
            ("calibrated threshold", f"{self.threshold:.3f}"),
            ("false-alarm rate promised", f"{self.promised_false_alarm_rate:.3f}"),
            ("false-alarm rate on test/good", f"{self.false_alarm_rate:.3f}"),
            ("detection rate at the threshold", f"{self.detection_rate:.3f}"),
            (f"seconds per image ({self.backend}, n = {self.iterations})", f"{self.seconds_per_image:.2f}"),
            ("images skipped as unreadable", str(len(self.skipped))),
        ]
        return "\n".join(["| figure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


@dataclass
class _Tally:
    scores: dict[str, list[float]] = field(default_factory=dict)
    components: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    pixels: PixelAuroc = field(default_factory=PixelAuroc)
    skipped: list[str] = field(default_factory=list)
    maps: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]] = field(default_factory=dict)
    seconds: float = 0.0


def evaluate(inspector: Inspector, iterations: int, folder: ImageFolder, parts: Split, out: Path) -> Report:
    """Inspect every test image of the split; writes report, scores, plots and pictures into `out`.

    Raises DatasetError when normal or abnormal test images are missing.
    """
    if not parts.test_good or not any(parts.test_abnormal.values()):
        raise DatasetError(f"{folder.root}: an evaluation needs images in test/good and in at least one test/<defect>")
    out.mkdir(parents=True, exist_ok=True)
    tally = _Tally()
    kinds = {"good": parts.test_good, **parts.test_abnormal}
    with tqdm(total=sum(map(len, kinds.values())), unit="img") as bar:
        for kind, names in kinds.items():
            for index, (name, frame) in enumerate(_frames(folder, names, tally)):
                seen = _inspect(inspector.inspect, frame, kind, tally)
                mask = folder.mask(name, (frame.shape[0], frame.shape[1])) if kind != "good" else None
                if mask is not None or kind == "good":
                    shape = frame.shape[:2]
                    tally.pixels.add(seen.anomaly_map, np.zeros(shape, np.bool_) if mask is None else mask)
                tally.maps.setdefault(kind, (seen.anomaly_map, mask))
                if index < PICTURES_PER_KIND:
                    save_panel(out / f"{kind}-{Path(name).stem}.png", frame, seen, mask)
                bar.update()
    save_scores(out / "scores.png", tally.scores, inspector.calibration.threshold)
    save_roc(out / "roc.png", tally.scores, inspector.calibration.threshold)
    save_maps(out / "maps.png", tally.maps)
    report = _report(inspector, iterations, tally)
    write_text(out / "report.json", report.to_json())
    write_text(out / "report.md", report.to_markdown() + "\n")
    write_text(out / "scores.json", json.dumps({"scores": tally.scores, "components": tally.components}))
    return report


def evaluate_checkpoint(
    path: Path, out: Path, data: Path | None, iterations: int | None, limit: int | None, false_alarm_rate: float
) -> Report:
    """Calibrate and evaluate a checkpoint with the reference search."""
    checkpoint = load_checkpoint(path)
    config = checkpoint.config
    search = config.search.model_copy(update={} if iterations is None else {"iterations": iterations})
    folder = ImageFolder.scan((data or config.data.root).resolve())
    viewer = Viewer(config.preprocessing, config.network.resolution, search.overlap)
    searcher = ReferenceSearcher(checkpoint, search)
    parts = limited(checkpoint.split, limit, config.schedule.seed)
    held_out = read_held_out(folder, parts.held_out, config.data.groups, config.schedule.seed)
    calibrated = calibrate(searcher, viewer, tqdm(held_out.standardising), tqdm(held_out.scored), false_alarm_rate)
    explainer = HostExplainer(searcher, viewer, calibrated.statistics)
    inspector = Inspector(explainer, calibrated.calibration)
    return evaluate(inspector, search.iterations, folder, parts, out)


def limited(parts: Split, limit: int | None, seed: int) -> Split:
    """The split with at most `limit` test images of each kind, seeded."""
    if limit is None:
        return parts
    rng = np.random.default_rng(seed)

    def some(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(names[i] for i in rng.permutation(len(names))[:limit]))

    return Split(
        parts.train,
        parts.held_out,
        parts.known_abnormal,
        some(parts.test_good),
        {defect: some(names) for defect, names in parts.test_abnormal.items()},
    )


def _frames(folder: ImageFolder, names: tuple[str, ...], tally: _Tally) -> Iterator[tuple[str, UInt8]]:
    loaded = load(folder.root, names)
    tally.skipped += loaded.bad
    yield from loaded.images.items()


def _inspect(inspect: Callable[[UInt8], Inspection], frame: UInt8, kind: str, tally: _Tally) -> Inspection:
    start = perf_counter()
    seen = inspect(frame)
    tally.seconds += perf_counter() - start
    tally.scores.setdefault(kind, []).append(seen.score)
    tally.components.setdefault(kind, []).append(seen.components)
    return seen


def _report(inspector: Inspector, iterations: int, tally: _Tally) -> Report:
    normal = np.array(tally.scores["good"])
    by_defect = {kind: np.array(s) for kind, s in tally.scores.items() if kind != "good"}
    abnormal = np.concatenate(list(by_defect.values()))
    best, best_threshold = f1_max(normal, abnormal)
    threshold = inspector.calibration.threshold
    parts = {
        name: [np.array([c[name] for c in tally.components[kind]]) for kind in tally.components]
        for name in tally.components["good"][0]
    }
    return Report(
        backend=inspector.explainer.name,
        iterations=iterations,
        normal_images=len(normal),
        abnormal_images={kind: len(s) for kind, s in by_defect.items()},
        image_auroc=image_auroc(normal, abnormal),
        image_auroc_by_defect={kind: image_auroc(normal, s) for kind, s in by_defect.items()},
        component_auroc={name: image_auroc(v[0], np.concatenate(v[1:])) for name, v in parts.items()},
        pixel_auroc=tally.pixels.value(),
        f1_max=best,
        f1_max_threshold=best_threshold,
        threshold=threshold,
        promised_false_alarm_rate=inspector.calibration.false_alarm_rate,
        false_alarm_rate=float((normal > threshold).mean()),
        detection_rate=float((abnormal > threshold).mean()),
        seconds_per_image=tally.seconds / (len(normal) + len(abnormal)),
        skipped=tally.skipped,
    )

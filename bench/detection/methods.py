"""Every method and its peers on the same images, over several seeds: what does each find, and what does it cost?

python -m bench.detection.methods DATA OUT --dataset NAME [--methods [NAME …]] [--seeds 0 1 2] [--known 0 4 12 40]
    [--trunk NETWORK] [--images N] [--limit N] [--workers 2] [--device auto] [--report-only]

Each method of configs/train/methods has its own networks and schedule; data, preprocessing and augmentation are those
of the data set's YAML. It trains once for each seed into OUT/METHOD-SEED, where bench.detection.coverage keeps its
trainings too, and is evaluated as on a station. --methods without a name trains nothing and evaluates the baselines
alone. All see the same images of a seed: the same train, the same are held out for the thresholds, the same are tested.

A tenth of the images of each kind of defect is known abnormal and not tested: Noisy-AnoGAN and the linear verdict train
on them (of 15 parts or more, Noisy-AnoGAN uses a third to weight its score), the other methods use them only to weight
their scores. --known N takes N of these images, drawn part by part; the test stays the same. Of grid and NanoTWICE no
defect is known: the abnormal tiles of Noisy-AnoGAN are then made from normal ones. --trunk adds a second row for each
method, of the same networks with this pretrained network beside them.

Images of one part (magnetic tile) or strip (fabric) stay on one side of the split. The data set magnetic_tile_single
deals the same images out one by one instead, as published figures likely do, so that each part is on both sides: give
it another OUT.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from bench.baselines.choice import all_baselines
from bench.baselines.evaluation import baseline_results
from bench.configs import CONFIGS, method_on, read_config
from bench.detection.protocol.fabric_strips import write_strip_groups
from bench.detection.protocol.jobs import Job, finished_jobs
from bench.detection.protocol.options import budget_notes, budget_parser, config_changes
from bench.detection.protocol.seed_tables import LEGEND, DetectorResult, seed_tables
from bench.detection.protocol.tables import write_tables
from latentline.base.arguments import count, count_or_auto
from latentline.errors import ConfigError, run_command
from trainer.choose.budget import within_budget
from trainer.config import TrainConfig
from trainer.data.sources import open_source
from trainer.settings.trunk import TrunkConfig

MAGNETIC_TILE = CONFIGS / "magnetic_tile.yaml"
SINGLE = "magnetic_tile_single"
DATASETS = {
    "magnetic_tile": MAGNETIC_TILE,
    SINGLE: MAGNETIC_TILE,
    **{name: CONFIGS / "bench" / f"{name}.yaml" for name in ("fabric", "grid", "nanotwice")},
}
TITLES = {"magnetic_tile": "magnetic_tile, split by whole parts", SINGLE: "magnetic_tile, split by single images"}
SEARCHING = ("noisy_anogan", "anogan")
METHODS = (*SEARCHING, "f_anogan", "autoencoder_ssim", "autoencoder_l2", "pca", "vae", "anovaegan")
SHOWN_DEFECTS = ("noisy_anogan",)
POOLED = "pooled input, squared"


def configuration(method: str, options: argparse.Namespace, known: int | None = None) -> TrainConfig:
    """Configuration of one training with `options.seed`.

    known  number of known-abnormal images; None: all that the data set's YAML chooses
    Raises ConfigError.
    """
    dataset = DATASETS[options.dataset]
    some_known = read_config(dataset, {}).data.has_known_abnormal
    changes = config_changes(options, name=f"{options.dataset} {method}")
    if options.dataset == "fabric":
        changes["data.groups"] = str(write_strip_groups(options.data, options.out.resolve() / "strips.csv"))
    if options.dataset == SINGLE:
        changes["data.split_by"] = "image"
    if known is not None and some_known:
        changes["data.known_abnormal_limit"] = known
    if method == "noisy_anogan" and (known == 0 or not some_known):
        changes["method.synthetic_fraction"] = 1.0
    if method == "noisy_anogan" and options.dataset == "nanotwice":
        changes["method.encoder_loss"] = "ssim"  # chosen on made defects on held-out normal windows
    config = method_on(dataset, method, changes)
    if options.iterations is not None and config.search.iterations:
        config = config.model_copy(
            update={"search": config.search.model_copy(update={"iterations": options.iterations})}
        )
    return within_budget(config, options.images)


@dataclass(frozen=True)
class ModelRow:
    """A method with one number of known defects (None: all of the data set's), one seed, and "" or a trunk."""

    method: str
    known: int | None
    seed: int
    trunk: str = ""

    @property
    def detector(self) -> str:
        """Its name in a table."""
        return f"{self.method} + {self.trunk}" if self.trunk else self.method

    @property
    def trained(self) -> ModelRow:
        """The row whose training it shares: no training sees a trunk, and most methods see no known defect."""
        return replace(self, known=self.known if self.method in SHOWN_DEFECTS else None, trunk="")


class DetectionTable:
    """The runs and results that one command line asks for. Raises ConfigError where too few images are known."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._choices: list[int | None] = [None] if options.known is None else list(options.known)
        self._shown = {(k, seed): self._images_shown(k, seed) for k in self._choices for seed in options.seeds}
        self.left_out: list[str] = []

    def rows(self) -> dict[str, list[DetectorResult]]:
        """Finish all trainings and all baselines; results by name of the detector. Raises LatentlineError."""
        done = self._finished()
        baselines = self._baselines()
        reference = {result.seed: result.scores for result in baselines[f"no model: {POOLED}"]}
        rows: dict[str, list[DetectorResult]] = {}
        for row in self._model_rows():
            if (job := done.get(self.folder(row).name)) is not None:
                report, scores = job.results()
                shown, seconds = self._shown[row.known, row.seed], job.training_seconds()
                result = DetectorResult(row.seed, shown, report, scores, seconds, reference[row.seed])
                rows.setdefault(self._title(row.detector, row.known), []).append(result)
        return {**rows, **baselines}

    def folder(self, row: ModelRow) -> Path:
        """The run folder of a row; without trunk and choice of known images that of bench.detection.coverage."""
        whole = row.known is None or not self._config(row.method, None, row.seed).data.has_known_abnormal
        parts = [row.method, row.trunk.replace(":", "-"), "" if whole else f"known-{row.known}", str(row.seed)]
        out: Path = self._options.out
        return out / "-".join(filter(None, parts))

    def _model_rows(self) -> list[ModelRow]:
        trunks = ["", *filter(None, [self._options.trunk])]
        return [ModelRow(m, k, s, t) for m in self._options.methods for t in trunks for k, s in self._shown]

    def _finished(self) -> dict[str, Job]:
        """The jobs of all rows that have results, by name of their folder: first those that train, then the others."""
        found: dict[str, Job] = {}
        rows = self._model_rows()
        for part in ([row.trained for row in rows], [row for row in rows if row.trained != row]):
            jobs = {job.folder.name: job for job in map(self._job, part)}
            found |= finished_jobs(jobs, self._options.workers, report_only=self._options.report_only)
        return found

    def _job(self, row: ModelRow) -> Job:
        config = self._config(row.method, row.known, row.seed)
        if row.trunk:
            config = config.model_copy(update={"trunk": TrunkConfig(network=row.trunk)})
        trained = None if self.folder(row.trained) == self.folder(row) else self.folder(row.trained)
        return Job(self.folder(row), config, self._options.limit, trained, self._options.device)

    def _baselines(self) -> dict[str, list[DetectorResult]]:
        choice, rows = all_baselines(), dict[str, list[DetectorResult]]()
        for seed in self._options.seeds:
            place = self._options.out / f"seed-{seed}"
            config = self._config("noisy_anogan", None, seed)
            found, missing = baseline_results(config, place, choice.on_normal, self._options.limit)
            for name, results in found.items():
                rows.setdefault(f"no model: {name}", []).append(DetectorResult(seed, 0, *results))
            self.left_out += missing
        for (known, seed), shown in self._shown.items():
            if known == 0:
                continue
            place = self._options.out / f"seed-{seed}" / ("" if known is None else f"known-{known}")
            config = self._config("noisy_anogan", known, seed)
            found, missing = baseline_results(config, place, choice.on_known, self._options.limit)
            for name, results in found.items():
                title = f"no model: {self._title(name, known)}"
                rows.setdefault(title, []).append(DetectorResult(seed, shown, *results))
            self.left_out += missing
        return rows

    def _config(self, method: str, known: int | None, seed: int) -> TrainConfig:
        return configuration(method, argparse.Namespace(**{**vars(self._options), "seed": seed}), known)

    def _title(self, name: str, known: int | None) -> str:
        return name if known is None else f"{name}, {known} known"

    def _images_shown(self, known: int | None, seed: int) -> int:
        config = self._config("noisy_anogan", known, seed)
        split = open_source(config.data, config.preprocessing).split(seed)
        shown = len(split.known_abnormal) + len(split.validation_abnormal)
        if known is not None and shown < known:
            raise ConfigError(
                f"--known {known}: with seed {seed} {self._options.dataset} has {shown} known-abnormal images outside "
                "its test; give at most as many"
            )
        return shown


def main() -> int:
    """Measure and print."""
    parser = budget_parser(__doc__)
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS, help="none: the baselines alone")
    parser.add_argument("--seeds", nargs="+", type=count, default=[0, 1, 2], help="of trainings and splits (0 1 2)")
    parser.add_argument("--known", nargs="+", type=count, help="numbers of known-abnormal images (default: all)")
    parser.add_argument(
        "--trunk", help="a second row for each method, with this trunk: efficientnet_lite0 or timm:NAME"
    )
    parser.add_argument("--iterations", type=count_or_auto, help="of the search, or auto (default: the YAML's)")
    options = parser.parse_args()
    table = DetectionTable(options)
    rows = table.rows()
    notes = budget_notes(argparse.Namespace(**vars(options), seed=", ".join(map(str, options.seeds))))
    if table.left_out:
        notes["left out"] = "; ".join(dict.fromkeys(table.left_out))
    headline = f"Methods on {TITLES.get(options.dataset, options.dataset)}"
    print(write_tables(options.out, headline, notes, seed_tables(rows), LEGEND))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

"""How much of what is normal can a model make, can it make defects too, and what do its maps alone detect?

python -m bench.detection.coverage DATA OUT --dataset NAME [--methods NAME …] [--seeds 0 1 2] [--iterations 0 10]
    [--maps KIND …] [--hide-kind KIND …] [--images N] [--limit N] [--workers 2] [--report-only]

Each method of configs/train/methods trains once for each seed into OUT/METHOD-SEED, on the data of the data set's YAML.
Then the reference search measures it, on one thread:

- the share of the variance of held-out normal tiles that it explains, beside that of principal components of training
  tiles, as many as z has numbers;
- the contrast: the mean squared residual inside the masks of defects, divided by that of normal test tiles (of held-out
  ones where no normal image is tested), 1 where a defect is reproduced as well as what is normal; and the share of the
  variance inside the masks that it explains. Each image counts once; about 256 tiles a group, drawn by seed. Only
  Noisy-AnoGAN is shown the known-abnormal images; --hide-kind keeps a kind of defect from them;
- image AUROC, pixel AUROC and AUPRO of the maps alone, calibrated and scored as the product does, without anything that
  comes from D. Known-abnormal images kept from training weigh the maps; where there are fewer than 30, normal images
  with made defects join them. For comparison D's verdict alone, and the input without a model (pooled input, squared);
- how much a pixel varies over samples G(z), z from N(0, 1), and over held-out tiles; samples.png has 64 of each.
"""

from __future__ import annotations

import argparse
from typing import get_args

from tqdm import tqdm

from bench.baselines.choice import pooled_input
from bench.baselines.evaluation import baseline_results
from bench.conditions import conditions
from bench.detection.methods import DATASETS, METHODS, configuration
from bench.detection.protocol.jobs import finished_jobs
from bench.detection.protocol.options import budget_notes, budget_parser
from bench.detection.protocol.tables import write_tables
from bench.detection.reconstruction.coverage_job import CoverageJob
from bench.detection.reconstruction.coverage_tables import LEGEND, coverage_tables
from bench.detection.reconstruction.measurement import BaselineMeasurement, Measurement, read_lines, write_lines
from bench.detection.reconstruction.variants import chosen_variants
from latentline.base.arguments import count
from latentline.errors import ConfigError, run_command
from latentline.search.searched_frame import MapKind
from trainer.config import TrainConfig
from trainer.data.image_folder import ImageFolder
from trainer.data.settings import FolderData
from trainer.settings.search import MapSetting

LINES = "results.jsonl"


def training_config(method: str, seed: int, options: argparse.Namespace) -> TrainConfig:
    """Configuration of one training. Raises ConfigError."""
    own = argparse.Namespace(**{**vars(options), "seed": seed, "iterations": None})
    config = configuration(method, own)
    if not options.hide_kind:
        return config
    data = config.data
    if not isinstance(data, FolderData) or not data.has_known_abnormal:
        raise ConfigError(f"--hide-kind: no kind of defect of {options.dataset} is shown, so leave it out")
    kinds = tuple(ImageFolder.scan(options.data).test_abnormal)
    if absent := set(options.hide_kind) - set(kinds):
        raise ConfigError(f"--hide-kind {min(absent)}: {options.dataset} has {', '.join(kinds)}; give one of these")
    shown = tuple(kind for kind in kinds if kind not in options.hide_kind)
    if not shown:
        raise ConfigError(f"--hide-kind {' '.join(options.hide_kind)}: no kind is left to be shown; hide fewer")
    return config.model_copy(update={"data": data.model_copy(update={"known_abnormal_types": shown})})


def job(method: str, seed: int, options: argparse.Namespace, facts: dict[str, str]) -> CoverageJob:
    """One training and what is measured of it. Raises ConfigError where no search or no map fits the method."""
    config = training_config(method, seed, options)
    return CoverageJob(
        folder=options.out / f"{method}-{seed}",
        dataset=options.dataset,
        method=method,
        config=config,
        variants=chosen_variants(config, options.iterations),
        maps=chosen_maps(config, options.maps),
        limit=options.limit,
        conditions=facts,
        device=options.device,
    )


def chosen_maps(config: TrainConfig, asked: list[MapSetting] | None) -> tuple[MapSetting, ...]:
    """The kinds of maps that the method has; None: the configuration's. Raises ConfigError when it has none."""
    kinds = [config.search.map] if asked is None else asked
    fitting = tuple(dict.fromkeys(k for k in kinds if k != "probability" or config.method.kind == "vae"))
    if not fitting:
        raise ConfigError(f"--maps probability: only a vae has it, and {config.method.kind} is none; add another kind")
    return fitting


def measurements(jobs: dict[str, CoverageJob], options: argparse.Namespace, facts: dict[str, str]) -> list[Measurement]:
    """Finish all jobs, and evaluate the squared input on the test images of each seed. Raises LatentlineError."""
    done = finished_jobs(jobs, options.workers, report_only=options.report_only)
    lines: list[Measurement] = [job.measurement() for job in done.values()]
    configs = {job.config.schedule.seed: job.config for job in done.values()}
    for seed, config in tqdm(configs.items(), desc="pooled input, squared", unit="seed"):
        place = options.out / f"seed-{seed}"
        for name, found in baseline_results(config, place, [pooled_input("l2")], options.limit)[0].items():
            measured = {"dataset": options.dataset, "seed": seed, "report": found.report, "conditions": facts}
            lines.append(BaselineMeasurement(baseline=name, **measured))
    return lines


def main() -> int:
    """Measure and print."""
    parser = budget_parser(__doc__)
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    methods = ("pca", "f_anogan", "noisy_anogan")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=methods, help="(default: %(default)s)")
    parser.add_argument("--seeds", nargs="+", type=count, default=[0, 1, 2], help="of trainings and splits (0 1 2)")
    parser.add_argument("--iterations", nargs="+", type=count, help="of the search, those that fit (0 and the YAML's)")
    parser.add_argument("--maps", nargs="+", choices=(*get_args(MapKind), "auto"), help="kinds (default: the YAML's)")
    parser.add_argument("--hide-kind", nargs="+", default=[], metavar="KIND", help="kinds of defect not to be shown")
    options = parser.parse_args()
    facts = conditions()
    jobs = {f"{m} {s}": job(m, s, options, facts) for m in options.methods for s in options.seeds}
    found = measurements(jobs, options, facts)
    if not found:
        raise ConfigError(f"{options.out}: no training is finished; leave out --report-only")
    options.out.mkdir(parents=True, exist_ok=True)
    write_lines(options.out / LINES, found)
    notes = budget_notes(argparse.Namespace(**vars(options), seed=", ".join(map(str, options.seeds))))
    if options.hide_kind:
        notes["kinds never shown"] = ", ".join(options.hide_kind)
    tables = coverage_tables(read_lines(options.out / LINES))
    print(write_tables(options.out, f"Coverage on {options.dataset}", notes, tables, LEGEND))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

"""One training run in one folder.

config.yaml · checkpoint/ · metrics.jsonl (a line every LOG_EVERY steps) · losses.png · samples.png
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from latentline.atomic import write_text
from latentline.errors import ConfigError
from trainer.checkpoint import dump_config, read_state, read_tensors, save_checkpoint
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler, prepare_mask
from trainer.data.folders import ImageFolder, load
from trainer.data.split import Split, split
from trainer.fit_encoder import fit_encoder
from trainer.loop import StepReport, Training
from trainer.networks.encoder import Encoder
from trainer.pictures import save_curves, save_samples

LOG_EVERY = 20
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitData:
    """Samplers and the split they were made from."""

    normal: CropSampler
    abnormal: CropSampler | None
    split: Split


def open_data(config: TrainConfig) -> FitData:
    """Scan, split, read and prepare the images of a training. Raises DatasetError; names what it skips."""
    folder = ImageFolder.scan(config.data.root)
    parts = split(folder, config.data, config.schedule.seed)
    size, prepare = config.network.resolution, config.preprocessing.apply
    normal = load(folder.root, parts.train)
    abnormal = load(folder.root, parts.known_abnormal)
    for sentence in normal.bad + abnormal.bad:
        log.warning("skipped: %s", sentence)
    if normal.bad or abnormal.bad:
        log.warning("%d images were skipped", len(normal.bad) + len(abnormal.bad))
    masks = {n: folder.mask(n, (i.shape[0], i.shape[1])) for n, i in abnormal.images.items()}
    prepared = {name: prepare(image) for name, image in abnormal.images.items()}
    fitted = [None if m is None else prepare_mask(m, prepared[n]) for n, m in masks.items()]
    flip = config.data.flip
    return FitData(
        CropSampler([prepare(i) for i in normal.images.values()], size, flip),
        CropSampler(list(prepared.values()), size, flip, fitted) if prepared else None,
        parts,
    )


def fit(config: TrainConfig, run: Path, resume: bool = False, stop_after: int | None = None) -> Path:
    """Train into the folder `run`; gives the checkpoint folder.

    resume      go on from the checkpoint in `run`, whose configuration must be the same (a killed encoder starts anew)
    stop_after  end early after so many images (the schedule stays as configured)
    """
    checkpoint = run / "checkpoint"
    if not resume and checkpoint.exists():
        raise ConfigError(f"{run}: holds a training already; use --resume to go on or give another folder")
    data = open_data(config)
    training = Training(config, data.normal, data.abnormal)
    reports: list[StepReport] = []
    if resume and checkpoint.exists():
        reports = _restore(training, config, run)
    run.mkdir(parents=True, exist_ok=True)
    write_text(run / "config.yaml", dump_config(config))
    end = min(training.total_images, stop_after or training.total_images)
    _train(training, config, data.split, run, reports, end)
    if training.finished and config.schedule.encoder_images:
        encoder = fit_encoder(config, training.average, training.discriminator, data.normal)
        _save(training, config, data.split, run, reports, encoder)
    return checkpoint


def _train(
    training: Training, config: TrainConfig, parts: Split, run: Path, reports: list[StepReport], end: int
) -> None:
    every = config.schedule.checkpoint_images
    steps = 0
    with tqdm(total=training.total_images, initial=training.images, unit="img", smoothing=0.05) as bar:
        while training.images < end:
            before = training.images
            report = training.step()
            steps += 1
            bar.update(training.images - before)
            if steps % LOG_EVERY == 0 or training.images >= end:
                reports.append(report)
                bar.set_postfix_str(
                    f"{4 * 2**report.stage}px α{report.alpha:.2f} D {report.discriminator_loss:.3f} "
                    f"G {report.generator_loss:.3f}"
                )
            if training.images // every > before // every or training.images >= end:
                _save(training, config, parts, run, reports)


def _save(
    training: Training,
    config: TrainConfig,
    parts: Split,
    run: Path,
    reports: list[StepReport],
    encoder: Encoder | None = None,
) -> None:
    networks, optimizer, rest = training.state()
    if encoder is not None:
        networks.update({f"encoder.{k}": v.contiguous() for k, v in encoder.state_dict().items()})
    save_checkpoint(run / "checkpoint", config, networks, optimizer, {**rest, "split": parts.to_json()})
    write_text(run / "metrics.jsonl", "".join(json.dumps(asdict(r)) + "\n" for r in reports))
    save_curves(run / "losses.png", reports)
    save_samples(run / "samples.png", training, config.schedule.seed)


def _restore(training: Training, config: TrainConfig, run: Path) -> list[StepReport]:
    checkpoint = run / "checkpoint"
    if (checkpoint / "config.yaml").read_text(encoding="utf-8") != dump_config(config):
        raise ConfigError(
            f"{run}: its checkpoint was trained with another configuration; use {run / 'config.yaml'} or another folder"
        )
    state = read_state(checkpoint)
    training.restore(
        read_tensors(checkpoint, "networks.safetensors"),
        read_tensors(checkpoint, "optimizer.safetensors"),
        state,
    )
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    reports = [StepReport(**json.loads(line)) for line in lines]
    return [r for r in reports if r.images <= training.images]

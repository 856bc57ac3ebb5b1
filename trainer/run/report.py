"""report.md of a run: model, images, duration, last losses, warnings, what to do next, and pictures."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latentline.base.atomic import write_text
from latentline.base.counted import counted
from latentline.base.durations import duration
from trainer.config import TrainConfig
from trainer.data.split import Split
from trainer.run.history import Record

CURVES_SENTENCE = (
    "The losses should settle without jumps. D(real) at 1 with D(generated) at 0 means that G learns nothing more. "
    "Coverage, where it is drawn, should rise to that of the principal components, or above."
)
SAMPLES_SENTENCE = (
    "Right: what G makes of random z. It should be hard to say which side is real: the same patterns, as sharp, and as "
    "different from one another as the real tiles."
)
RECONSTRUCTIONS_SENTENCE = (
    "Each image on the right should look like the tile at its place on the left. A blurred one means that the model "
    "does not know the product well yet."
)
TILES_SENTENCE = (
    "The second column should show the same product as the first, without the defect. Then the difference of a normal "
    "tile is faint and without shape, and that of an abnormal tile shows the defect (outlined in green) and nothing "
    "else. The training was not shown these normal images."
)
COVERAGE = "share of the variance of held-out normal tiles that G(E(x)) explains"


@dataclass(frozen=True)
class RunFacts:
    """How far the run is: `images` of `total_images` shown, in `seconds`, by `processes` on `device`."""

    images: int
    total_images: int
    seconds: float
    device: str
    processes: int

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / max(self.seconds, 1e-9)


def write_run_report(
    run: Path,
    config: TrainConfig,
    split: Split,
    facts: RunFacts,
    records: Sequence[Record],
    shortage: str | None = None,
) -> None:
    """Write report.md into the folder `run`, whole or not at all.

    shortage  why the model cannot be evaluated or exported, whatever it has learnt
    """
    sections = [
        _heading(config, facts),
        _data(config, split),
        _outcome(config, records, shortage),
        _next(run, facts, shortage),
        _pictures(run, config),
    ]
    write_text(run / "report.md", "\n\n".join(s for s in sections if s) + "\n")


def _heading(config: TrainConfig, facts: RunFacts) -> str:
    n = config.network
    state = "finished" if facts.images >= facts.total_images else "not finished"
    return (
        f"# {config.name}: {config.method.kind}, {n.resolution} px\n\n"
        f"{facts.images:,} of {facts.total_images:,} images shown, {state}; {duration(facts.seconds)} on {facts.device}"
        f"{f', {facts.processes} processes' if facts.processes > 1 else ''}, {facts.rate:.1f} images/s. "
        f"All settings are in config.yaml."
    )


def _data(config: TrainConfig, split: Split) -> str:
    rows = {
        "normal, for training": len(split.train),
        "normal, held out for calibration": len(split.held_out),
        "known abnormal, for training" if config.method.kind == "noisy_anogan" else "known abnormal, unused": len(
            split.known_abnormal
        ),
        "known abnormal, held out for the weights of the score": len(split.validation_abnormal),
        "normal, for the test": len(split.test_good),
        **{f"abnormal, for the test: {kind}": len(names) for kind, names in split.test_abnormal.items()},
    }
    table = "\n".join(f"| {what} | {count} |" for what, count in rows.items())
    return f"## Images\n\n{config.data.root}\n\n| | images |\n|---|---|\n{table}"


def _outcome(config: TrainConfig, records: Sequence[Record], shortage: str | None) -> str:
    if not records:
        return ""
    last = records[-1]
    losses = {name: value for r in records for name, value in r.report.losses.items()}
    probabilities = {f"D({name})": value for r in records for name, value in r.report.probabilities.items()}
    rows = {name: f"{value:.4f}" for name, value in {**losses, **probabilities}.items()} | _coverage(config, records)
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    measured = [r.diversity for r in records if r.diversity is not None]
    diversity = f"\n\nSamples vary {measured[-1]:.2f} times as much as real tiles." if measured else ""
    wrong = (*last.health, *([] if shortage is None else [shortage]))
    health = "\n".join(f"- {sentence}" for sentence in wrong) or "Nothing looks wrong."
    return f"## Last values\n\n| | value |\n|---|---|\n{table}{diversity}\n\n## Health\n\n{health}"


def _coverage(config: TrainConfig, records: Sequence[Record]) -> dict[str, str]:
    """Coverage as rows of the table; what to do when it is low stands under Health."""
    if config.method.is_gan and not config.schedule.encoder_images:
        return {COVERAGE: "without an encoder only a search finds z: `evaluate` measures it"}
    measured = [r.coverage for r in records if r.coverage is not None]
    if not measured:
        return {}
    last = measured[-1]
    return {
        COVERAGE: f"{last.explained:.4f}",
        f"the same by {counted(last.components, 'principal component')} of training tiles": f"{last.pca:.4f}",
    }


def samples_are_reconstructions(config: TrainConfig) -> bool:
    """Whether the samples of this method are G(E(x)) of normal tiles, and not G(z) of random latents."""
    return not (config.method.is_gan or config.method.kind == "pca")


def _pictures(run: Path, config: TrainConfig) -> str:
    """Each picture that is there, and under it what a good one looks like."""
    if samples_are_reconstructions(config):
        samples = "real tiles and their reconstructions", RECONSTRUCTIONS_SENTENCE
    else:
        samples = "real tiles and samples of the generator", SAMPLES_SENTENCE
    shown = {
        "curves.png": ("losses and mean D(x)", CURVES_SENTENCE),
        "samples.png": samples,
        "tiles.png": ("held-out and known-abnormal tiles: tile, nearest normal image, difference", TILES_SENTENCE),
    }
    there = [f"![{what}]({name})\n\n{text}" for name, (what, text) in shown.items() if (run / name).exists()]
    return "\n\n".join(["## Pictures", *there]) if there else ""


def _next(run: Path, facts: RunFacts, shortage: str | None) -> str:
    if shortage is not None:
        return (
            "## Next\n\nMore normal images, or a larger data.held_out_fraction, then a training into another folder: "
            "`latentline-train evaluate` and `latentline-export package` would refuse this one."
        )
    folder = shlex.quote(str(run))
    if facts.images < facts.total_images:
        return f"## Next\n\n    latentline-train fit {shlex.quote(str(run / 'config.yaml'))} {folder} --resume"
    package = shlex.quote(f"{run}-model.zip")
    return f"## Next\n\n    latentline-train evaluate {folder}\n    latentline-export package {folder} {package}"

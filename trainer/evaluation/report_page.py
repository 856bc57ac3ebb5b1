"""report.md of an evaluation: what came out in a sentence, what to do next, the table, and the pictures."""

from __future__ import annotations

from pathlib import Path

from latentline.base.counted import counted
from trainer.evaluation.report import EvaluationReport

TELLS = 0.95  # image AUROC from which what is missed is the threshold's fault more than the score's
FOUND = 0.5  # of the abnormal test images: below that nobody wants the model as it is
CHANCE = 0.5  # image AUROC of scores that know nothing
HELP = (
    "look at misses.png, compare methods and scales with `latentline-train choose`, name known defects "
    "(`data.known_abnormal`), or add a trunk (`trunk.network`)"
)
_PICTURES = {
    "scores.png": "Scores of the test images. Abnormal ones should lie right of the threshold, normal ones left of it.",
    "misses.png": "The worst misses: abnormal images taken for normal, their masks in green.",
    "false_alarms.png": "The worst false alarms: normal images taken for abnormal. Some may be defects in truth.",
    "maps.png": "The anomaly map of the first image of each kind, with its mask in green.",
    "roc.png": "How many defects are found at which false-alarm rate. Dots are the threshold.",
    "precision_recall.png": "How many of the alarms are defects, at which share of the defects found.",
}


def outcome(report: EvaluationReport) -> str | None:
    """How the threshold does on the test images, and what to do next; None where nothing was calibrated."""
    found = report.confusion
    if found is None:
        return None
    abnormal, normal = found.detected + found.missed, found.accepted + found.false_alarms
    images, normals = counted(abnormal, "abnormal test image"), counted(normal, "normal one")
    detected = counted(found.detected, f"of {images} is", f"of {images} are")
    alarmed = counted(found.false_alarms, f"of {normals} is a false alarm", f"of {normals} are false alarms")
    alarms = f" and {alarmed}" if normal else ""
    promised = f"; {found.promised_false_alarm_rate:g} of the normal ones may be" if normal else ""
    return (
        f"At the threshold {detected} found{alarms}{promised}. "
        f"{_advice(report, found.detected / max(abnormal, 1), found.broken)}"
    )


def _advice(report: EvaluationReport, share: float, broken: str | None) -> str:
    if broken is not None:
        return f"The promise is broken: {broken}."
    lost = _as_good_as_chance(report)
    if share >= FOUND and lost:
        named = ", ".join(f"{kind} (image AUROC {report.image_auroc_by_defect[kind]})" for kind in lost)
        return f"The score hardly tells {named} from normal images: {HELP}."
    if share >= FOUND:
        return "Look at misses.png, and go on with `latentline-export package`."
    if report.image_auroc is not None and report.image_auroc.value >= TELLS:
        return (
            "The score tells them apart (image AUROC), so it is the threshold that misses them: hold out more normal "
            "images, allow more false alarms (`--false-alarm-rate`), or try `--threshold smooth`."
        )
    return f"The score does not tell them apart (image AUROC): {HELP}."


def _as_good_as_chance(report: EvaluationReport) -> list[str]:
    """The kinds of defects whose images may well have scores as normal ones do: 0.5 is in the interval of AUROC."""
    by_defect = report.image_auroc_by_defect
    return [kind for kind, auroc in by_defect.items() if auroc.low is not None and auroc.low <= CHANCE]


def report_page(report: EvaluationReport, out: Path, tiles: str = "") -> str:
    """report.md in the folder `out`, which shows the pictures that are there.

    tiles  a section in Markdown with the picture of tiles
    """
    shown = [f"![{text}]({name})\n\n{text}" for name, text in _PICTURES.items() if (out / name).is_file()]
    pictures = "\n\n".join(["## Pictures", *shown]) if shown else ""
    parts = [f"# {report.name}: evaluation", outcome(report), report.to_markdown(), tiles, pictures]
    return "\n\n".join(part for part in parts if part) + "\n"

"""Do known-abnormal images make the search more accurate when the "normal" images are contaminated? On MNIST.

python -m bench.detection.mnist DATA OUT [--digits 0 1 …] [--protocols known unseen] [--images N] [--iterations N]
                                [--test-limit 200] [--workers 2] [--report-only]

The protocol of Kimura & Yanagihara (2018): each digit in turn is normal. Training uses 70 % of its training images, and
10 % of those of other digits. AnoGAN takes the other digits for normal; Noisy-AnoGAN knows that they are abnormal.
Networks, budget and search are the same. The test compares the digit with other digits, from MNIST's test file.

known   the other digits in training are all nine, so training saw every abnormal class of the test. A classifier does
        well then; the row 1 − D(x) says how well
unseen  the other digits in training are the next three, cyclically (normal 8: 9, 0, 1); the test has the remaining six

Rows: first the calibrated score. Its weights are fitted on known-abnormal images on which nothing was trained. AnoGAN
has none, so its weights are fitted on synthetic ones; a second row scores it with the weights of the Noisy-AnoGAN of
the same digit, so that these two rows differ in the model alone. Then the L' of the paper as literal sums, and single
components.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from tqdm import tqdm

from bench.baselines.choice import WITHOUT_NETWORK
from bench.baselines.evaluation import baseline_results
from bench.configs import CONFIGS, read_config
from bench.detection.protocol.jobs import Job, finished_jobs
from bench.detection.protocol.options import budget_notes, option_parser
from bench.detection.protocol.score_figures import SCORE, ScoreFigures, mean_over_sets, paired_gain, score_figures
from bench.detection.protocol.tables import Table, write_tables
from latentline.errors import run_command
from trainer.choose.budget import within_budget
from trainer.config import TrainConfig
from trainer.evaluation.report import read_results

KNOWN_DIGITS = 3  # in the training of the unseen protocol
NOISY, CONTAMINATED = "Noisy-AnoGAN", "AnoGAN, contaminated"
VALUES = {
    "calibrated score": SCORE,
    "L' of the paper": "loss",
    "1 − D(x)": "d_frame",
    "1 − D(G(ẑ))": "d_reconstruction",
    "residual, finest map of the package": "residual_",
    "feature residual": "feature",
}
LENT = "calibrated score, Noisy-AnoGAN's weights"
Rows = dict[str, dict[str, ScoreFigures]]  # row -> digit -> figures


def configuration(protocol: str, digit: int, method: str, options: argparse.Namespace) -> TrainConfig:
    """Configuration of one training. Both methods see the same images; they differ in what they know about them."""
    known = [(digit + step) % 10 for step in range(1, KNOWN_DIGITS + 1)] if protocol == "unseen" else []
    changes = {
        "name": f"{protocol} {digit} {method}",
        "data.root": str(options.data.resolve()),
        "data.normal_digit": digit,
        "data.known_abnormal_digits": known,
        "data.test_limit": options.test_limit,
        "data.contaminated": method == CONTAMINATED,
        "schedule.seed": options.seed,
    }
    if options.iterations is not None:
        changes["search.iterations"] = options.iterations
    if method == CONTAMINATED:
        changes["method"] = {"kind": "anogan"}
    return within_budget(read_config(CONFIGS / "bench" / "mnist.yaml", changes), options.images)


def protocol_tables(protocol: str, options: argparse.Namespace) -> list[Table]:
    """Finish the trainings of a protocol; AUROC and F1-max of each digit, and their means."""
    jobs = {
        (digit, method): Job(
            folder(protocol, digit, method, options),
            configuration(protocol, digit, method, options),
            device=options.device,
        )
        for digit in options.digits
        for method in (NOISY, CONTAMINATED)
    }
    names = {f"{digit} {method}": job for (digit, method), job in jobs.items()}
    done = finished_jobs(names, options.workers, report_only=options.report_only)
    rows: Rows = {}
    for digit in tqdm(options.digits, desc=f"figures, {protocol}"):
        pair = {method: jobs[digit, method] for method in (NOISY, CONTAMINATED) if f"{digit} {method}" in done}
        _collect(rows, digit, pair)
        base = partial(configuration, protocol, digit, CONTAMINATED)
        if not options.report_only:
            baseline_results(base(options), options.out / protocol / f"digit-{digit}", WITHOUT_NETWORK)
        _collect_baselines(rows, digit, options.out / protocol / f"digit-{digit}" / "baselines")
    titles = {"auroc": "image AUROC", "f1_max": "F1-max"}
    return [_table(f"{protocol}: {title}", rows, figure) for figure, title in titles.items()]


def folder(protocol: str, digit: int, method: str, options: argparse.Namespace) -> Path:
    """Run folder of one training."""
    out: Path = options.out
    return out / protocol / f"digit-{digit}" / method.lower().replace(",", "").replace(" ", "-")


def _collect(rows: Rows, digit: int, pair: dict[str, Job]) -> None:
    for method, job in pair.items():
        scores = job.results()[1]
        for title, value in VALUES.items():
            if (found := score_figures(scores, value)) is not None:
                rows.setdefault(f"{method}: {title}", {})[str(digit)] = found
    if len(pair) == 2:
        lent = pair[CONTAMINATED].scores_with_weights_of(pair[NOISY])
        if (found := score_figures(lent)) is not None:
            rows.setdefault(f"{CONTAMINATED}: {LENT}", {})[str(digit)] = found


def _collect_baselines(rows: Rows, digit: int, place: Path) -> None:
    for path in sorted(place.glob("*/scores.json")):
        report, scores = read_results(path.parent)
        if (found := score_figures(scores)) is not None:
            rows.setdefault(f"no model: {report.name}", {})[str(digit)] = found


def _table(title: str, rows: Rows, figure: str) -> Table:
    table = Table(title)
    for row, digits in rows.items():
        table.add(row, {"mean": mean_over_sets(digits, figure), **{d: getattr(j, figure) for d, j in digits.items()}})
    ours, theirs = (rows.get(f"{name}: {row}", {}) for name, row in ((NOISY, "calibrated score"), (CONTAMINATED, LENT)))
    if figure == "auroc" and set(ours) & set(theirs):
        table.add("gain of Noisy-AnoGAN, same weights, same images", {"mean": paired_gain(ours, theirs)})
    return table


def main() -> int:
    """Measure and print."""
    parser = option_parser(__doc__)
    parser.add_argument("--digits", type=int, nargs="+", choices=range(10), default=list(range(10)))
    parser.add_argument("--protocols", nargs="+", choices=("known", "unseen"), default=["known", "unseen"])
    parser.add_argument("--test-limit", type=int, default=200, help="normal and abnormal test images, each (200)")
    options = parser.parse_args()
    tables = [table for protocol in options.protocols for table in protocol_tables(protocol, options)]
    test = f"{options.test_limit} normal and {options.test_limit} abnormal images a digit at most, seeded"
    notes = {**budget_notes(options), "test": test, "digits": ", ".join(map(str, options.digits))}
    print(write_tables(options.out, "MNIST: known-abnormal images under contamination", notes, tables))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

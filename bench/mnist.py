"""Do known-abnormal images make the search more accurate when the "normal" images are contaminated? On MNIST.

python bench/mnist.py DATA OUT [--digits 0 1 …] [--protocols known unseen] [--images N] [--iterations N]
                      [--test-limit 200] [--workers 2] [--report-only]

The protocol of Kimura & Yanagihara (2018): each digit once as normal, 70 % of its training images to train, with 10 %
of those of other digits. AnoGAN takes these for normal; Noisy-AnoGAN, of the same network, budget and search, is told
that they are abnormal. Test: the digit against all others, from the test file.

known   the other digits are all nine, so the test's abnormal classes are those of the training: then 1 − D(x) alone, a
        classifier, does well; its row says how well
unseen  the other digits are the next three, cyclically (normal 8: 9, 0, 1), and the test shows the remaining six alone

Rows: the score as calibrated, whose weights are fitted on known-abnormal images that nothing was trained on. AnoGAN has
none, so its weights are fitted on made ones; it is also scored with the weights of the Noisy-AnoGAN of the same digit,
and only that pair of rows differs in the model alone. Then the paper's L' as literal sums, and components alone.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from protocols.commands import PLAIN, baseline_results, budget, finished, parser
from protocols.configs import CONFIGS, read_config, within_budget
from protocols.means import SCORE, Judged, judged, mean_of, paired_gain
from protocols.runs import Job
from protocols.station import evaluate_with_weights
from protocols.tables import Table, write_tables
from tqdm import tqdm

from latentline.errors import run_command
from trainer.config import TrainConfig
from trainer.evaluation.report import read_results

KNOWN_DIGITS = 3  # of the unseen protocol
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
Rows = dict[str, dict[str, Judged]]  # row -> digit -> figures


def configuration(protocol: str, digit: int, method: str, options: argparse.Namespace) -> TrainConfig:
    """One training. Both methods see the same images, and differ in what they are told of them."""
    known = [(digit + step) % 10 for step in range(1, KNOWN_DIGITS + 1)] if protocol == "unseen" else []
    changes = {
        "name": f"{protocol} {digit} {method}",
        "data.root": str(options.data.resolve()),
        "data.normal": digit,
        "data.known_digits": known,
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
    """Finish the runs of a protocol; AUROC and F1-max by digit, and their means."""
    jobs = {
        (digit, method): Job(folder(protocol, digit, method, options), configuration(protocol, digit, method, options))
        for digit in options.digits
        for method in (NOISY, CONTAMINATED)
    }
    names = {f"{digit} {method}": job for (digit, method), job in jobs.items()}
    done = finished(names, options)
    rows: Rows = {}
    for digit in tqdm(options.digits, desc=f"figures, {protocol}"):
        pair = {method: jobs[digit, method] for method in (NOISY, CONTAMINATED) if f"{digit} {method}" in done}
        _collect(rows, digit, pair)
        base = partial(configuration, protocol, digit, CONTAMINATED)
        if not options.report_only:
            baseline_results(base(options), options.out / protocol / f"digit-{digit}", PLAIN)
        _collect_baselines(rows, digit, options.out / protocol / f"digit-{digit}" / "baselines")
    titles = {"auroc": "image AUROC", "f1_max": "F1-max"}
    return [_table(f"{protocol}: {title}", rows, figure) for figure, title in titles.items()]


def folder(protocol: str, digit: int, method: str, options: argparse.Namespace) -> Path:
    """Of a run."""
    out: Path = options.out
    return out / protocol / f"digit-{digit}" / method.lower().replace(",", "").replace(" ", "-")


def _collect(rows: Rows, digit: int, pair: dict[str, Job]) -> None:
    for method, job in pair.items():
        scores = job.results()[1]
        for title, value in VALUES.items():
            if (found := judged(scores, value)) is not None:
                rows.setdefault(f"{method}: {title}", {})[str(digit)] = found
    if len(pair) == 2:
        lent = pair[CONTAMINATED].folder / "evaluation-lent-weights"
        if not (lent / "scores.json").is_file():
            evaluate_with_weights(pair[CONTAMINATED].folder, pair[NOISY].folder, lent)
        if (found := judged(read_results(lent)[1])) is not None:
            rows.setdefault(f"{CONTAMINATED}: {LENT}", {})[str(digit)] = found


def _collect_baselines(rows: Rows, digit: int, place: Path) -> None:
    for path in sorted(place.glob("*/scores.json")):
        report, scores = read_results(path.parent)
        if (found := judged(scores)) is not None:
            rows.setdefault(f"no model: {report.name}", {})[str(digit)] = found


def _table(title: str, rows: Rows, figure: str) -> Table:
    table = Table(title)
    for row, digits in rows.items():
        table.add(row, {"mean": mean_of(digits, figure), **{d: getattr(j, figure) for d, j in digits.items()}})
    ours, theirs = (rows.get(f"{name}: {row}", {}) for name, row in ((NOISY, "calibrated score"), (CONTAMINATED, LENT)))
    if figure == "auroc" and set(ours) & set(theirs):
        table.add("gain of Noisy-AnoGAN, same weights, same images", {"mean": paired_gain(ours, theirs)})
    return table


def main() -> int:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("--digits", type=int, nargs="+", choices=range(10), default=list(range(10)))
    made.add_argument("--protocols", nargs="+", choices=("known", "unseen"), default=["known", "unseen"])
    made.add_argument("--test-limit", type=int, default=200, help="normal, and as many abnormal, test images (200)")
    options = made.parse_args()
    tables = [table for protocol in options.protocols for table in protocol_tables(protocol, options)]
    test = f"{options.test_limit} normal and {options.test_limit} abnormal images a digit at most, seeded"
    notes = {**budget(options), "test": test, "digits": ", ".join(map(str, options.digits))}
    print(write_tables(options.out, "MNIST: known-abnormal images under contamination", notes, tables))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

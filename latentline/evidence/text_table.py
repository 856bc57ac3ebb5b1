"""A comparison as rows of text, for the terminal and for the report."""

from __future__ import annotations

from latentline.base.counted import counted
from latentline.evidence.comparison import ComparedModel, ModelComparison
from latentline.evidence.paired import PairedCounts, RateInterval, wilson
from latentline.evidence.tally import EvidenceTable

HEAD = ("", "pictures", "old", "new", "difference of the rates", "p")


def rows_of(table: EvidenceTable) -> list[tuple[str, ...]]:
    """False alarms, misses, defects caught by kind, alarms without a label; only where there are pictures."""
    named = [("false alarms", table.good), ("missed", _missed(table.defects))]
    named += [(f"caught: {kind or 'of no kind'}", counts) for kind, counts in table.kinds.items()]
    named.append(("abnormal, no label", table.unlabelled))
    return [_row(name, counts) for name, counts in named if counts.count]


def caveats(comparison: ModelComparison) -> list[str]:
    """What a reader must know before he believes the table; each a sentence."""
    said = [_trained(side, which) for which, side in (("old", comparison.old), ("new", comparison.new))]
    said.append(
        "People label what the running model calls abnormal, or nearly so. Its mistakes are therefore seen more often "
        "than those of a model that did not run, and a new model looks better here than it is."
    )
    if comparison.unreadable:
        unread = "picture could not be inspected by both, and is left out"
        many = "pictures could not be inspected by both, and are left out"
        said.append(f"{counted(comparison.unreadable, unread, many)}.")
    return said


def lines_of(comparison: ModelComparison) -> list[str]:
    """The comparison for a terminal."""
    lines = [f"old {_named(comparison.old)}", f"new {_named(comparison.new)}"]
    for title, table in (("neither was trained on", comparison.fresh), ("one was trained on", comparison.trained)):
        if table.count:
            lines += ["", f"pictures that {title}: {table.count}", *_aligned([HEAD, *rows_of(table)])]
    if comparison.changes:
        lines += ["", "verdicts that changed: " + ", ".join(f"{n} {what}" for what, n in comparison.changes.items())]
    return [*lines, "", *caveats(comparison), "", comparison.recommendation.reason]


def _named(side: ComparedModel) -> str:
    return f"{side.name} ({side.sha256[:12]}…), threshold {side.threshold:.3f}"


def _trained(side: ComparedModel, which: str) -> str:
    if side.trained_on is None:
        return (
            f"The package of the {which} model does not say what it was trained on. Pictures that it was trained on "
            "count here, and in its favour."
        )
    return f"The {which} model was trained on {side.trained_on} of these pictures; they are counted apart."


def _missed(caught: PairedCounts) -> PairedCounts:
    return PairedCounts(caught.neither, caught.only_new, caught.only_old, caught.both)


def _row(name: str, counts: PairedCounts) -> tuple[str, ...]:
    old, new = (_rate(done, counts.count) for done in (counts.old, counts.new))
    difference = f"{100 * counts.difference.value:+.1f} % {_interval(counts.difference, '+')}"
    return name, str(counts.count), old, new, difference, f"{counts.p_value:.2g}"


def _rate(done: int, count: int) -> str:
    rate = wilson(done, count)
    return f"{done} = {100 * rate.value:.1f} % {_interval(rate)}"


def _interval(rate: RateInterval, sign: str = "") -> str:
    return f"[{100 * rate.low:{sign}.1f}, {100 * rate.high:{sign}.1f}]"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

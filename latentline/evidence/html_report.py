"""A comparison as one HTML page beside its pictures: no script, nothing from elsewhere, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from latentline.base.counted import counted
from latentline.evidence.changed_pictures import DrawnChange
from latentline.evidence.comparison import ComparedModel, ModelComparison, label_text
from latentline.evidence.text_table import HEAD, caveats, rows_of
from latentline.printable import printable

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
       background: #fff }
table { border-collapse: collapse; margin: 1rem 0 } th, td { border: 1px solid #767676; padding: .3rem .6rem }
th { text-align: left; background: #f0f0f0 } img { max-width: 100%; height: auto } figure { margin: 2rem 0 }
.promote, .keep { font-size: 1.25rem; padding: 1rem; border-left: .5rem solid #0b6b2e; background: #eef7f0 }
.keep { border-color: #8a4b00; background: #fdf4e7 }
"""
_SECURITY = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"


def html_report(comparison: ModelComparison, drawn: Sequence[DrawnChange]) -> str:
    """The page. Its pictures lie where `DrawnChange.file` says, and the contact sheet is changes.png."""
    recommendation = comparison.recommendation
    parts = [
        "<h1>Two models on the same pictures</h1>",
        f'<p class="{recommendation.choice}">{_text(recommendation.reason)}</p>',
        _table(("", "name", "sha256", "threshold"), [_side("old", comparison.old), _side("new", comparison.new)]),
        f"<h2>{counted(comparison.fresh.count, 'picture')} that neither was trained on</h2>",
        _table(HEAD, rows_of(comparison.fresh)),
    ]
    if comparison.trained.count:
        parts += [
            f"<h2>{counted(comparison.trained.count, 'picture')} that one of them was trained on</h2>",
            "<p>A model does well on what it was trained on. These say little, and do not count.</p>",
            _table(HEAD, rows_of(comparison.trained)),
        ]
    parts += [f"<p>{_text(sentence)}</p>" for sentence in caveats(comparison)]
    parts += [
        "<p>Intervals are 95 %: Wilson's for a rate, Bonett and Price's for a difference of two on the same ",
        "pictures. p: the probability of such a difference, were both models equally good (McNemar, exact).</p>",
        f"<h2>The rule</h2><p>{_text(recommendation.rule)}</p>",
        "<h2>Verdicts that changed</h2>",
        _table(("what", "pictures"), [(what, str(n)) for what, n in comparison.changes.items()]),
    ]
    if drawn:
        parts.append('<p><a href="changes.png">All of those below on one sheet</a></p>')
    parts += [_figure(number, change) for number, change in enumerate(drawn, 1)]
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{_SECURITY}"><meta name="viewport" content="width=device-width"><title>Comparison</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _figure(number: int, drawn: DrawnChange) -> str:
    changed, picture = drawn.changed, drawn.changed.picture
    said = (
        f"{number}: {changed.what}. {picture.file.name}, {label_text(picture.label, picture.kind)}. "
        f"Score minus threshold: old {changed.old_margin:+.3f}, new {changed.new_margin:+.3f}."
    )
    if changed.trained_on:
        said += " One of the models was trained on it."
    if drawn.file is None:
        return f"<p>{_text(said)} The picture could not be read again.</p>"
    image = (
        f'<img src="{escape(quote(drawn.file))}" alt="above as the old model sees it, below as the new" loading="lazy">'
    )
    return f"<figure><figcaption>{_text(said)}</figcaption>{image}</figure>"


def _side(which: str, side: ComparedModel) -> tuple[str, ...]:
    return which, side.name, side.sha256, f"{side.threshold:.4f}"


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{_text(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{body}</table>"


def _text(text: str) -> str:
    return escape(printable(text))

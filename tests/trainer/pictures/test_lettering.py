"""Names in any script stand in pictures, by a font that has their letters or as escapes, and never as boxes."""

from __future__ import annotations

import io
from collections.abc import Iterator

from matplotlib.figure import Figure

from trainer.pictures.lettering import installed_fonts, letter, lettering


def _two_fonts() -> Iterator[tuple[str, frozenset[int]]]:
    yield "Without", frozenset(map(ord, "ab"))
    yield "With", frozenset(map(ord, "\u7f3a\u9677"))


def _no_fonts() -> Iterator[tuple[str, frozenset[int]]]:
    yield from ()


def test_a_font_is_added_for_letters_that_the_own_one_lacks() -> None:
    """The first font that has a missing letter joins, and no other; a text that needs none asks for none."""
    assert lettering("\u7f3a \u00e4", _two_fonts) == (["DejaVu Sans", "With"], "\u7f3a \u00e4")
    assert lettering("Kratzer \u00df", _no_fonts) == (["DejaVu Sans"], "Kratzer \u00df")


def test_letters_that_no_font_has_are_escapes() -> None:
    """Such a letter can still be told from others, and so can a control character; lines stay lines."""
    assert lettering("\u7f3a\u9677.png\nA\x07", _no_fonts)[1] == "\\u7f3a\\u9677.png\nA\\x07"


def test_a_figure_with_foreign_names_is_drawn_without_a_warning() -> None:
    """Whatever fonts this machine has, titles and legends in any script and with signs of a formula are drawn."""
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label="\u5212\u75d5 $1")
    axes.set_title("\ud55c\uae00 \U0001f600 $\\frac$")
    axes.legend()
    letter(figure)
    figure.savefig(io.BytesIO(), format="png", dpi=30)
    assert "Last Resort" not in " ".join(name for name, _ in installed_fonts())

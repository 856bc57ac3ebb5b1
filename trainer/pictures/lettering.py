"""The texts of a figure, in fonts that have their letters: names of files and of defects may be in any script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from latentline.printable import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

_OWN = "DejaVu Sans"  # comes with matplotlib
_BOXES = "Last Resort"  # a font of matplotlib that has a box for every letter

Fonts = Callable[[], Iterator[tuple[str, frozenset[int]]]]


def letter(figure: Figure) -> None:
    """Give each title and legend of `figure` fonts for its letters. Signs of a formula stay as they are."""
    legends = [legend for axes in figure.axes if (legend := axes.get_legend()) is not None]
    texts = [
        *figure.texts,
        *(axes.title for axes in figure.axes),
        *(t for legend in legends for t in legend.get_texts()),
    ]
    for text in texts:
        _letter(text)


def lettering(text: str, fonts: Fonts) -> tuple[list[str], str]:
    """The names of fonts that together have the letters of `text`, and `text` with those that none has as \\uXXXX.

    fonts  names and characters of further fonts, in order; asked only where matplotlib's own font does not do
    """
    from matplotlib.font_manager import findfont

    text = "\n".join(map(printable, text.split("\n")))
    names, missing = [_OWN], {ord(c) for c in text} - _characters(findfont(_OWN)) - {ord("\n")}
    if missing:
        for name, known in fonts():
            if missing & known:
                names.append(name)
                missing -= known
            if not missing:
                break
    return names, "".join(c.encode("unicode_escape").decode() if ord(c) in missing else c for c in text)


def installed_fonts() -> Iterator[tuple[str, frozenset[int]]]:
    """Name and characters of each upright font of this machine; those for many scripts first."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    upright = {f.name: f.fname for f in fontManager.ttflist if f.style == "normal" and f.weight in (400, "normal")}
    for name in sorted(upright, key=lambda name: (not any(word in name for word in ("CJK", "Fallback", "Noto")), name)):
        try:
            if name.startswith(_BOXES) or findfont(FontProperties(family=[name])) != upright[name]:
                continue
            if known := _characters(upright[name]):
                yield name, known
        except (OSError, RuntimeError):  # gone, or a kind that matplotlib cannot read
            continue


def _letter(text: Text) -> None:
    names, shown = lettering(text.get_text(), installed_fonts)
    text.set_text(shown)
    text.set_fontfamily(names)
    text.set_parse_math(False)


@lru_cache(maxsize=256)
def _characters(path: str) -> frozenset[int]:
    """The characters of a font file; none where it holds pictures and no outlines, as for emojis."""
    from matplotlib.ft2font import FT2Font

    font = FT2Font(path)
    return frozenset(font.get_charmap()) if font.scalable else frozenset()

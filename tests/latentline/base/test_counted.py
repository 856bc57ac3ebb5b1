from __future__ import annotations

import pytest

from latentline.base.counted import counted


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (1, ("tile",), "1 tile"),
        (0, ("tile",), "0 tiles"),
        (2, ("tile",), "2 tiles"),
        (1, ("miss", "misses"), "1 miss"),
        (3, ("miss", "misses"), "3 misses"),
        (1, ("image is", "images are"), "1 image is"),
        (21, ("image is", "images are"), "21 images are"),
    ],
)
def test_a_number_has_its_noun(number: int, words: tuple[str, ...], said: str) -> None:
    """One thing is named in the singular, any other number in the plural, which is given where an s does not do."""
    assert counted(number, *words) == said

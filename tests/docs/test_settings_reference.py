"""The reference of all settings agrees with the code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from docs.settings_reference import main, reference, sections, sentences
from edge_runtime.config import StationConfig
from latentline.base.strict_yaml import StrictModel
from tests.paths import ROOT
from trainer.config import TrainConfig

FILES = ["edge_runtime.config:StationConfig", "trainer.config:TrainConfig"]
SECTIONS = [*sections(StationConfig), *sections(TrainConfig)]


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    """docs/reference/settings.md is the page that the code generates."""
    main(str(tmp_path / "settings.md"), *FILES)
    page = ROOT / "docs" / "reference" / "settings.md"
    fresh = (tmp_path / "settings.md").read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8") == fresh, "the settings changed: run `make settings-reference`"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_has_a_sentence(section: type[BaseModel]) -> None:
    """Every field but `kind` has a docstring that ends in a full stop, and every section has a docstring of its own."""
    described = sentences(section)
    missing = [name for name in section.model_fields if name != "kind" and not described.get(name)]
    assert not missing, f"{section.__name__}: write a docstring under {', '.join(missing)}"
    assert all(sentence.text.endswith(".") for name, sentence in described.items() if name != "kind")
    assert section.__doc__ and section.__doc__ != StrictModel.__doc__


class _Circle(StrictModel):
    """A round one."""

    kind: Literal["circle"]
    radius: float = Field(default=1.5, gt=0)
    """Its radius. [mm]"""


class _Square(StrictModel):
    """A square one."""

    kind: Literal["square"]
    side: int = Field(ge=1, le=9)
    """Its side,
    or `a|b`."""


class _Drawing(StrictModel):
    """The drawing file. Made by hand."""

    shapes: tuple[Annotated[_Circle | _Square, Field(discriminator="kind")], ...]
    """What is drawn."""

    paper: Path | None = None
    """What it is drawn on."""

    colours: dict[int, bool] = Field(default_factory=dict)
    """Which are used."""


def test_a_table_has_type_range_default_and_unit() -> None:
    """Types are in words, each kind has its own table, and items of a list are marked by []."""
    page = reference([_Drawing])
    assert "## The drawing file\n\nMade by hand.\n" in page
    assert "| `shapes` | [list of sections](#shapes) | required |  | What is drawn. |" in page
    assert "| `paper` | path | unset |  | What it is drawn on. |" in page
    assert "| `colours` | map of whole numbers to true or false | empty |  | Which are used. |" in page
    assert "`kind` is one of `circle`, `square`." in page and "#### `shapes[]`, `kind: circle`\n\nA round one." in page
    assert "| `shapes[].radius` | number > 0 | `1.5` | mm | Its radius. |" in page
    assert "| `shapes[].side` | whole number, 1 to 9 | required |  | Its side, or `a\\|b`. |" in page

"""The API page of the site."""

from __future__ import annotations

import re

import latentline
from tests.paths import ROOT

_PAGE = ROOT / "docs" / "reference" / "api.md"


def test_the_page_has_every_public_name_once() -> None:
    """What `latentline.__all__` promises, and nothing else."""
    shown = re.findall(r"^::: latentline\.(\w+)$", _PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(shown) == sorted(latentline.__all__)

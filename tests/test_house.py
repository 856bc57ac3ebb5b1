"""House rules that no linter checks."""

from __future__ import annotations

import ast
from collections import Counter

from tests.paths import ROOT

PACKAGES = ("latentline", "trainer", "export", "edge_runtime", "bench")
SOURCES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]


def test_no_two_classes_have_one_name() -> None:
    """A class name has one meaning in the whole project; private names of a file may repeat."""
    names = Counter(
        node.name
        for file in SOURCES
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_a_file_defines_something() -> None:
    """Every file defines something, except `__init__.py` and `__main__.py`."""
    empty = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if not file.name.startswith("__")
        and all(isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr)) for node in ast.parse(file.read_text()).body)
    ]
    assert empty == []

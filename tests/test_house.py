"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from collections import Counter

from tests.paths import ROOT

PACKAGES = ("latentline", "trainer", "export", "edge_runtime", "bench")
SOURCES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]


def test_no_two_classes_have_one_name() -> None:
    """A class name means one thing in the whole project; private helpers of a file are its own affair."""
    names = Counter(
        node.name
        for file in SOURCES
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_a_file_defines_something() -> None:
    """No file only hands on what others define; packages' `__init__.py` and `__main__.py` are the exceptions."""
    hollow = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if not file.name.startswith("__")
        and all(isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr)) for node in ast.parse(file.read_text()).body)
    ]
    assert hollow == []

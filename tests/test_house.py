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


def test_the_trainer_loads_what_draws_and_measures_when_it_does() -> None:
    """Matplotlib, scikit-learn, SciPy and tensorboardX take as long to load as PyTorch, and most processes that train
    or export need none of them: they are imported in functions."""
    late = {"matplotlib", "sklearn", "scipy", "tensorboardX"}
    early = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in SOURCES
        if file.relative_to(ROOT).parts[0] in ("trainer", "export")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if name.split(".")[0] in late
    ]
    assert early == []

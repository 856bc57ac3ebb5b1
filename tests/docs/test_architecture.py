"""ARCHITECTURE.md names what is there."""

from __future__ import annotations

import ast
import re

from tests.paths import ROOT

_PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
_ROOMS = ("latentline", "trainer", "export", "edge_runtime", "bench")
_CODE = sorted(set(re.findall(r"`([^`]+)`", _PAGE)))
_PATHS = [name for name in _CODE if re.fullmatch(r"[\w./-]+/[\w.-]*", name) and not name.startswith("/")]
_FILES = [name for name in _CODE if re.fullmatch(r"\w+\.(py|cu)", name)]
_NAMES = [name for name in _CODE if re.fullmatch(r"_?[A-Za-z]\w*(\.\w+)?", name) and name not in _FILES]


def _defined() -> set[str]:
    """Names of modules, packages, classes, functions, methods, variables and commands in the rooms."""
    names = {*_ROOMS, "check", "doctor", "listen", "demo", "evaluate", "docs", "tests", "configs", "frame_values"}
    for path in (path for room in _ROOMS for path in (ROOT / room).rglob("*.py")):
        names.add(path.stem)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return names


def _in_a_room(name: str) -> bool:
    return any(next((ROOT / room).rglob(name), None) for room in _ROOMS)


def test_every_path_of_the_page_is_there() -> None:
    """A path that the page names exists: from the root, or below the part that it speaks of."""
    assert [path for path in _PATHS if not (ROOT / path).exists() and not _in_a_room(path.rstrip("/"))] == []


def test_every_file_of_the_page_is_there() -> None:
    """A file that the page names without its folder exists in one of the rooms."""
    assert [name for name in _FILES if not _in_a_room(name)] == []


def test_every_name_of_the_page_is_in_the_code() -> None:
    """Classes, functions and tables that the page names are defined in one of the rooms."""
    defined = _defined()
    assert [name for name in _NAMES if not set(name.split(".")) <= defined] == []

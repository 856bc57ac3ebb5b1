"""What the site's own code does: docstrings with lists, and pages that need no other host."""

from __future__ import annotations

import importlib.util
import logging
from types import ModuleType, SimpleNamespace

import pytest

from tests.paths import ROOT

_DOCS = ROOT / "docs"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_aligned_names_become_a_list_and_prose_stays() -> None:
    """A name, two spaces and a text are an item; an indented line goes on with it."""
    pytest.importorskip("griffe", reason="the extra `docs` is not installed")
    docstring = (
        "One image.\n\nimage      H x W, uint8\nthreshold  above it a frame\n  is abnormal\n\nTwo  spaces\nhere."
    )
    assert _module("docstring_lists").with_lists(docstring) == (
        "One image.\n\n- `image`: H x W, uint8\n- `threshold`: above it a frame is abnormal\n\nTwo  spaces\nhere."
    )


@pytest.mark.parametrize(
    ("html", "warns"),
    [
        ('<script src="https://cdn.example.com/a.js"></script>', True),
        ('<link rel="stylesheet" href="https://fonts.example.com/css">', True),
        ('<link href="//fonts.example.com/css" rel="stylesheet">', True),
        ('<img alt="x" src=//example.com/a.png>', True),
        ('<script src="assets/a.js"></script><a href="https://example.com/">there</a>', False),
        ('<link rel="canonical" href="https://example.com/page.html">', False),
    ],
)
def test_what_a_page_loads_from_another_host_is_a_warning(
    html: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Scripts, styles and pictures, in any order of attributes; a link that a reader may follow is none."""
    page = SimpleNamespace(file=SimpleNamespace(src_uri="page.md"))
    with caplog.at_level(logging.WARNING):
        assert _module("hooks").on_post_page(html, page=page) == html
    assert bool(caplog.messages) == warns

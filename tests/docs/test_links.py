"""Links between the files of the repository, as GitHub resolves them; `make docs` checks those of the site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

_PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.md"), *ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")


def _prose(text: str) -> str:
    """Without code, in which brackets are no links and a hash is no heading."""
    text = re.sub(r"^ *(`{3,}|~{3,}).*?^ *\1 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(?!`).+?\1", "", text)


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page: the second `Notes` is `notes-1`."""
    text = re.sub(r"^ *(`{3,}|~{3,}).*?^ *\1 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *#* *$", text, flags=re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.append(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return {slug if not n else f"{slug}-{n}" for i, slug in enumerate(found) for n in [found[:i].count(slug)]}


def _broken(page: Path) -> Iterator[str]:
    """Links of a page whose file or heading does not exist; those to other hosts are not followed."""
    for link in _LINK.findall(_prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target.read_text(encoding="utf-8"))):
            yield link


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Files, folders and headings that a page links to are in the repository."""
    assert list(_broken(page)) == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    """A missing file, a missing heading, a heading of another page; not what is code, and not another host."""
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text("## There\n")
    good = "# `One` two: three\n[a](#one-two-three) [b](other.md#there) `[c](code.md)` [d](https://example.com/x)\n"
    page.write_text(good + "```\n[e](fence.md)\n```\n[f](#four) [g](missing.md) [h](other.md#five)\n")
    assert list(_broken(page)) == ["#four", "missing.md", "other.md#five"]


def test_a_repeated_heading_has_a_number() -> None:
    """As on GitHub, so that a link to the second one works there."""
    assert _anchors("# Notes\n## Notes\n## A & B\n") == {"notes", "notes-1", "a--b"}

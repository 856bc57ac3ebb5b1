"""Shows the aligned lists of our docstrings as lists: lines of a name, two or more spaces, and what it is."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ITEM = re.compile(r"(?P<name>[A-Za-z_][\w.,* ]*?) {2,}(?P<text>\S.*)")


def with_lists(docstring: str) -> str:
    """The docstring in Markdown, where paragraphs of aligned names and explanations have become lists."""
    return "\n\n".join(_paragraph(part) for part in re.split(r"\n\s*\n", docstring))


def _paragraph(text: str) -> str:
    items: list[str] = []
    for line in text.splitlines():
        item = _ITEM.fullmatch(line)
        if item:
            items.append(f"- `{item['name']}`: {item['text']}")
        elif items and line.startswith("  "):
            items[-1] += " " + line.strip()
        else:
            return text
    return "\n".join(items)


class DocstringLists(Extension):
    """The extension of Griffe that mkdocs.yml names."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of every object that has one."""
        if obj.docstring:
            obj.docstring.value = with_lists(obj.docstring.value)

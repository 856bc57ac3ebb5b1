"""A check of the built site that mkdocs does not make itself: no page loads anything from another host."""

from __future__ import annotations

import logging
from html.parser import HTMLParser
from typing import Any

_log = logging.getLogger("mkdocs.hooks.offline")  # below "mkdocs", so that a strict build ends on its warnings

_LOADING = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "prefetch"}


class _Loads(HTMLParser):
    """Collects the addresses that a browser fetches by itself to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        values = dict(attrs)
        address = values.get("src")
        if tag == "link" and _LOADING & set((values.get("rel") or "").lower().split()):
            address = values.get("href")
        if address and address.startswith(("http://", "https://", "//")):
            self.found.append(address)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Warn of every script, style, font and picture that a page would load from another host."""
    loads = _Loads()
    loads.feed(output)
    for address in loads.found:
        _log.warning("%s loads from another host: %s", page.file.src_uri, address)
    return output

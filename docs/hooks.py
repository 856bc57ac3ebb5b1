"""Checks of the built site that mkdocs does not make itself."""

from __future__ import annotations

import logging
import re
from typing import Any

_log = logging.getLogger("mkdocs.hooks.offline")  # below "mkdocs", so that a strict build ends on its warnings

_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|link\s[^>]*rel="?(?:stylesheet|icon|preload))[^>]*\s
                         (?:src|href)=["']?(?:https?:)?//[^"'\s>]+""",
    re.VERBOSE | re.IGNORECASE,
)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Warn of every script, style, font and picture that a page would load from another host."""
    for match in _LOADED.finditer(output):
        _log.warning("%s loads from another host: %s", page.file.src_uri, match.group())
    return output

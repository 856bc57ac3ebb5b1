"""Keep secrets out of messages and logs.

`mask_url` masks an address that is known as a whole; nothing of its userinfo and no value of its query is left,
whatever characters they are of. `Secrets` replaces texts that are known. `mask_credentials` is for text that quotes an
address of somebody else: it can only guess where that ends, and in doubt masks too much.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
SECRET_NAME = re.compile(
    r"(?:pass(?:w(?:or)?d|phrase)?|pwd|pw|token|secret|auth\w*|signature|sig|credentials?|session|(?:api|access)[_-]?key"
    r"|key)$",
    re.I,
)
_SHORTEST = 4  # characters of a part that is replaced wherever it occurs: "1" occurs everywhere
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.,:-]*")
_USERINFO = re.compile(r"//[^\n]*@")  # to the last @ of the line
_PAIR = re.compile(r"[^\s:@/'\"]+:(?!//)[^\s@]+@")  # user:password@ of an address without its scheme
_QUERY_VALUE = re.compile(r"([?&;][\w.\[\]%-]+=)[^\s&;'\"]+")
_NAMED_VALUE = re.compile(r"\b([\w-]+)(\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s&;'\"]+)")


def mask_url(url: str) -> str:
    """The address `url` with *** for userinfo and every value of the query, and without fragment.

    What urllib takes for host, path or query may be part of a password that was not encoded, so everything before the
    last @ is userinfo. Where a ?, a # or the name of a value stands before that, nothing but the scheme is left.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return MASK
    userinfo, at, place = rest.rpartition("@")
    if at and re.search(r"[?#]|/.*=", userinfo, re.S):
        return f"{scheme}://{MASK}"
    place = place.partition("#")[0]
    address, asked, query = place.partition("?")
    path, named, _ = address.partition("=")  # rtsp://host/user=me&password=…
    shown = f"{scheme}://{MASK + '@' if at else ''}{path}{'=' + MASK if named else ''}"
    values = "&".join(f"{pair.partition('=')[0]}={MASK}" if "=" in pair else MASK for pair in query.split("&"))
    return f"{shown}?{values}" if asked else shown


def url_secrets(url: str) -> set[str]:
    """The parts of the address `url` that nobody may see: userinfo, password, values of path and query."""
    rest = url.partition("://")[2] or url
    userinfo = rest.rpartition("@")[0]
    queries = [text for text in (rest.partition("?")[2], rest.partition("=")[2]) if text]
    parts = {userinfo, *queries, *(userinfo[colon.end() :] for colon in re.finditer(":", userinfo))}
    for query in queries:
        parts |= {pair.partition("=")[2] or pair for pair in re.split("[&#;]", query)}
    return {part for part in parts if len(part) >= _SHORTEST}


def mask_credentials(text: str) -> str:
    """`text` with *** for the userinfo of addresses, the values of their queries, and those of names like `password=`.

    For text whose parts are not known. In doubt it masks too much: up to the last @ of a line.
    """
    text = _QUERY_VALUE.sub(rf"\1{MASK}", _PAIR.sub(f"{MASK}@", _USERINFO.sub(f"//{MASK}@", text)))
    return _NAMED_VALUE.sub(lambda m: f"{m[1]}{m[2]}{MASK}" if SECRET_NAME.search(m[1]) else m[0], text)


class Secrets:
    """Texts that may appear nowhere, recognised as they stand and as Python, JSON and addresses write them."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._forms = {form for text in texts for form in _forms(text)}

    def hide(self, text: str) -> str:
        """`text` without the secrets, and without what looks like one."""
        found = [form for form in self._forms if form in text]
        spans = sorted(m.span(1) for form in found for m in re.finditer(f"(?=({re.escape(form)}))", text))
        kept, end = [], 0
        for first, last in spans:  # two secrets may overlap
            kept += [text[end:first], MASK] if first >= end else []
            end = max(end, last)
        return mask_credentials("".join([*kept, text[end:]]))


def _forms(text: str) -> set[str]:
    """How `text` may be written."""
    plain = {text, *(form for form in (unquote(text), unquote_plus(text)) if len(form) >= _SHORTEST)}
    quoted = {write(one) for one in plain for write in (quote, quote_plus, lambda s: quote(s, safe=""))}
    escaped = {repr(one)[1:-1] for one in plain} | {repr(one + "'")[1:-2] for one in plain}
    escaped |= {repr(one + "'\"")[1:-4] for one in plain}
    escaped |= {json.dumps(one, ensure_ascii=ascii)[1:-1] for one in plain for ascii in (True, False)}
    return {form for form in plain | quoted | escaped if form}

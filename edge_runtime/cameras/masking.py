"""What is shown of the text that a camera is opened with: an address, a file or a GStreamer pipeline."""

from __future__ import annotations

import re

from latentline.base.secrets import MASK, mask_credentials, mask_url, url_secrets

_TOKEN = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|["'\\].*)+""", re.S)
_ELEMENT = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\.?")
_CAPS = re.compile(r"[a-z]+/[a-z0-9.-]+(?:\([A-Za-z:]+\))?")
_QUOTES = "\"'"
_SHORTEST = 4  # characters of a value that is replaced wherever it occurs: "0" occurs everywhere
_PLAIN_VALUE = re.compile(r"[\w./:+()-]*")
# Every other property is masked: nobody knows all names that plug-ins give to secrets.
_OPEN_PROPERTIES = frozenset(
    {"bus-timeout", "caps", "channels", "device", "do-timestamp", "drop", "drop-on-latency", "enable-max-performance"}
    | {"format", "framerate", "height", "interpolation-method", "is-live", "latency", "max-buffers", "name", "width"}
    | {"num-buffers", "pattern", "protocols", "sensor-id", "sensor-mode", "sync", "tcp-timeout", "timeout", "user-id"}
)


def mask_source(source: str) -> str:
    """`source`, an address or the path of a file, as it may be shown."""
    if "://" in source:
        return mask_url(source)
    if ":" in source.partition("@")[0] and "@" in source:  # a mistyped address
        return f"{MASK}@{mask_source(source.rpartition('@')[2])}"
    name, asked, _ = source.partition("?")
    return mask_credentials(name) + (f"?{MASK}" if asked else "")


def mask_pipeline(pipeline: str) -> str:
    """`pipeline`, in the syntax of gst-launch, as it may be shown: elements, addresses, and properties that are known.

    A word that is no element, no property and no link is left out: it may be the rest of a password without quotes.
    """
    words: list[str] = []
    for token in _TOKEN.findall(pipeline):
        name, is_property, _ = token.partition("=")
        if token == "!" or (not is_property and (not words or words[-1] == "!") and _ELEMENT.fullmatch(token)):
            words.append(token)
        elif _CAPS.match(token) or (is_property and _ELEMENT.fullmatch(name)):
            words.append(_property(token) if '"' in token else ",".join(map(_property, token.split(","))))
        elif words and words[-1] != MASK:
            words.append(MASK)
    return " ".join(words)


def _property(text: str) -> str:
    name, separator, value = text.partition("=")
    if not separator:
        return name if not name or _CAPS.fullmatch(name) else MASK
    if name in ("location", "uri") and "://" in value:
        return f"{name}={mask_url(value.strip(_QUOTES))}"
    return text if name in _OPEN_PROPERTIES and _PLAIN_VALUE.fullmatch(value) else f"{name}={MASK}"


def source_secrets(source: str) -> set[str]:
    """The texts of an address or path `source` that nobody may see; empty when all of it may be shown."""
    return set() if mask_source(source) == source else {source, *url_secrets(source)}


def pipeline_secrets(pipeline: str) -> set[str]:
    """The texts of `pipeline` that nobody may see, as written and as meant; empty when all of it may be shown."""
    shown = mask_pipeline(pipeline)
    values = {token.partition("=")[2] for token in _TOKEN.findall(pipeline) if token not in shown}
    values |= {re.sub(r"\\(.)", r"\1", value[1:-1] if value[:1] in _QUOTES else value, flags=re.S) for value in values}
    values |= {part for value in values if "://" in value for part in url_secrets(value)}
    return {value for value in values if len(value) >= _SHORTEST} | ({pipeline} if MASK in shown else set())

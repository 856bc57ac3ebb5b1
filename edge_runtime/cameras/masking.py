"""Hides passwords and tokens in what a camera is opened with: addresses and GStreamer pipelines."""

from __future__ import annotations

import re

from latentline.base.secrets import mask_credentials

_SECRET = re.compile(
    r"\b((?:user-pw|proxy-pw|password|passwd|pwd|passphrase|token)\s*=\s*)(\"[^\"]*\"|[^\s&'\"]+)", re.I
)


def mask_source(text: str) -> str:
    """`text` with user and password of URLs, and the values of names like `password=` or `user-pw=`, replaced."""
    return _SECRET.sub(r"\1***", mask_credentials(text))

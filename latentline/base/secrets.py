"""Keep secrets out of messages and logs."""

from __future__ import annotations

import re


def mask_credentials(text: str) -> str:
    """`text` with user and password of each URL replaced by ***. In doubt it masks too much."""
    return re.sub(r"//[^\s'\"]*@", "//***@", text)

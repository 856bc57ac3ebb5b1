"""Keep secrets out of messages and logs."""

from __future__ import annotations

import re


def mask_credentials(text: str) -> str:
    """`text` with user and password of every URL replaced by ***; masks too much rather than too little."""
    return re.sub(r"//[^\s'\"]*@", "//***@", text)

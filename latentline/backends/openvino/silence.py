"""OpenVINO without its telemetry, which would report each import of OpenVINO to its maker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TELEMETRY = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Within the block nothing can import the telemetry: OpenVINO goes on as where that package is not installed.

    Has no effect where something else has imported OpenVINO before.
    """
    if _TELEMETRY in sys.modules:
        yield
        return
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # Python's way to say that there is no such module
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]

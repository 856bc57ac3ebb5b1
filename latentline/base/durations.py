"""Durations for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A duration as 85 ms, 4.1 s, 41 s, 12 min or 3.4 h."""
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

"""Sequence numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable


def seq_ranges(seqs: Iterable[int]) -> str:
    """All of `seqs`, in order, e.g. "3, 7-9"."""
    ranges: list[list[int]] = []
    for seq in sorted(seqs):
        if ranges and seq == ranges[-1][1] + 1:
            ranges[-1][1] = seq
        else:
            ranges.append([seq, seq])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)

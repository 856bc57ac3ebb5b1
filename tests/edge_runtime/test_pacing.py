"""Repeated warnings are limited, and none is left out without being counted."""

import logging
import time

import pytest

from edge_runtime.pacing import RateLimitedLog


@pytest.mark.parametrize("burst", [1, 3])
def test_a_burst_is_logged_and_the_rest_counted(
    burst: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first warnings of each period name their files; the next period begins with how many were left out."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    limited = RateLimitedLog(logging.getLogger("paced"), 10.0, burst)
    for number in range(5):
        limited.warning(f"{number}.png is broken")
    clock[0] += 10
    limited.warning("5.png is broken")
    named = [f"{number}.png is broken" for number in range(burst)]
    assert caplog.messages == [*named, f"5.png is broken (and {5 - burst} more like it)"]

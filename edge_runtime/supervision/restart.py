"""The end of a station that only a new process can help."""

from __future__ import annotations

from latentline.errors import LatentlineError


class RestartNeededError(LatentlineError):
    """Too much memory, a lost GPU, a thread that cannot be started: what starts stations, e.g. systemd, must start this
    one again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again

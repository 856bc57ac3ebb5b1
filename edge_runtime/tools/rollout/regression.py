"""Whether a station is worse off with a new model than before."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_runtime.tools.listen.messages import Frames
from edge_runtime.tools.rollout.watched_station import WatchedStation

_CHANCE = 1e-4  # a rise of the share of abnormal frames that chance explains so rarely is one
_RISE = 1.5  # times the share before; less is no reason to go back, however certain it is
_OF_MODELS = ("inspector", "model", "drift", "memory", "signature", "watchdog.inspector")
_OF_MODELS_AND_CAMERAS = (".late", ".bit_depth", ".set_aside")  # reasons camera.ID.*


@dataclass(frozen=True)
class BeforeSwitch:
    """A station before it switched. boot_id: that run of its process; codes: of its reasons; frames: of that run."""

    boot_id: str | None
    codes: frozenset[str]
    frames: Frames | None

    @staticmethod
    def of(view: WatchedStation) -> BeforeSwitch:
        """As `view` is now."""
        frames = view.health.frames if view.health is not None else None
        return BeforeSwitch(view.boot_id, frozenset(view.reasons), frames)


def regression(view: WatchedStation, before: BeforeSwitch, model: str, frames: Frames | None) -> str | None:
    """Why the station is worse off with `model`, a clause; None: it is not.

    frames  inspected with the new model; None: nobody knows yet
    """
    if view.loss is not None:
        return view.loss
    if view.boot_id != before.boot_id:
        return "its process has started again"
    if view.model != model:
        return "it runs another model now"
    for code, message in view.reasons.items():
        if code not in before.codes and _is_of_the_model(code):
            return f"{code}: {message}"
    if frames is not None and before.frames is not None and more_abnormal(frames, before.frames):
        return f"{share(frames)} of its frames are abnormal, and {share(before.frames)} were before"
    return None


def more_abnormal(after: Frames, before: Frames) -> bool:
    """Whether the share of abnormal frames has risen by half or more, and by more than chance explains."""
    if not after.inspected or not before.inspected:
        return False
    if after.abnormal * before.inspected < _RISE * before.abnormal * after.inspected:
        return False
    return _tail(after.abnormal, after.inspected, before.abnormal, before.inspected) < _CHANCE


def share(frames: Frames) -> str:
    """The share of abnormal frames, for people."""
    return f"{frames.abnormal / frames.inspected:.1%}" if frames.inspected else "none"


def _is_of_the_model(code: str) -> bool:
    return code in _OF_MODELS or (code.startswith("camera.") and code.endswith(_OF_MODELS_AND_CAMERAS))


def _tail(hits: int, draws: int, other_hits: int, other_draws: int) -> float:
    """Fisher's exact test, one-sided: the probability of `hits` or more in `draws` if both shares are the same."""
    total, marked = draws + other_draws, hits + other_hits
    whole = _log_choose(total, draws)
    terms = (
        _log_choose(marked, found) + _log_choose(total - marked, draws - found) - whole
        for found in range(hits, min(marked, draws) + 1)
        if draws - found <= total - marked
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _log_choose(of: int, chosen: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)

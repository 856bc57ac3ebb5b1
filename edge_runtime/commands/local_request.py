"""A request from the station's own page: it waits for the station's thread as one from MQTT does."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from edge_runtime.commands.actions import Result
from edge_runtime.commands.request import ModelRequest, RevertRequest, ThresholdRequest
from latentline.errors import LatentlineError


@dataclass(frozen=True)
class LocalRequest:
    """What is asked, and by whom. outcome: the result, or the LatentlineError why nothing has changed.

    Whoever waits may cancel `outcome` before the station's thread has begun; then nothing happens.
    """

    request: ThresholdRequest | ModelRequest | RevertRequest
    who: str
    outcome: Future[Result] = field(default_factory=Future)

    @property
    def verb(self) -> str:
        """As over MQTT."""
        if isinstance(self.request, ThresholdRequest):
            return "threshold"
        return "model" if isinstance(self.request, ModelRequest) else "revert"

    def finish(self, outcome: Result | LatentlineError) -> None:
        """Say what came of it."""
        if isinstance(outcome, LatentlineError):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)

"""What a roll-out did to which station, and why."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from edge_runtime.tools.listen.messages import Frames
from edge_runtime.tools.rollout.regression import share
from latentline.base.secrets import mask_credentials
from latentline.printable import printable

StationState = Literal["untouched", "had it", "new", "refused", "reverted", "unknown"]
Ending = Literal["done", "stopped", "interrupted"]
_MEANINGS: dict[StationState, str] = {
    "untouched": "runs its old model",
    "had it": "ran the new model before",
    "new": "runs the new model",
    "refused": "runs its old model",
    "reverted": "went back to its old model",
    "unknown": "runs nobody knows what; look at it",
}


@dataclass
class StationReport:
    """One station.

    stage          1 for the canaries
    why            a sentence, or empty
    before, after  frames inspected with the old and with the new model; None: unknown
    """

    station: str
    stage: int
    state: StationState = "untouched"
    why: str = ""
    before: Frames | None = None
    after: Frames | None = None

    def line(self) -> str:
        """For people."""
        rates = ""
        if self.after is not None:
            was = f", {share(self.before)} before" if self.before is not None and self.before.inspected else ""
            rates = f"; inspected {self.after.inspected}, {share(self.after)} abnormal{was}"
            if not self.after.inspected:
                rates = "; inspected nothing while it was watched"
        why = f": {self.why}" if self.why else ""
        return printable(mask_credentials(f"{self.station:12}  {self.state:9}  {_MEANINGS[self.state]}{rates}{why}"))


@dataclass
class RolloutReport:
    """A roll-out. model: sha256; ending: how it ended; reason: why it stopped, or empty."""

    package: str
    model: str
    stations: list[StationReport]
    ending: Ending = "interrupted"
    reason: str = ""

    def json(self) -> str:
        """One JSON object."""
        stations = [
            {
                **asdict(station),
                "before": station.before.model_dump() if station.before else None,
                "after": station.after.model_dump() if station.after else None,
            }
            for station in self.stations
        ]
        return json.dumps({**asdict(self), "stations": stations}, indent=2)

    def lines(self) -> list[str]:
        """For people: a line for each station, and the ending."""
        reason = f": {self.reason}" if self.reason else ""
        last = f"roll-out of {self.package} {self.ending}{reason}"
        return [*(station.line() for station in self.stations), printable(mask_credentials(last))]

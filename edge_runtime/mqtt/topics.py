"""Where messages go: {root}/{station}/v1/…"""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "v1"  # of the payloads; a change that breaks consumers gets a new level


@dataclass(frozen=True)
class Topics:
    """Topics of one station."""

    root: str
    station: str

    @property
    def status(self) -> str:
        """Retained, and the topic of the will: online, degraded, stopped or offline."""
        return self.at("status")

    @property
    def birth(self) -> str:
        """Retained: which software, model and cameras."""
        return self.at("birth")

    @property
    def health(self) -> str:
        """The station in numbers, now and then; QoS 0, it expires."""
        return self.at("health")

    def defect(self, camera: str) -> str:
        """Defect events of a camera, QoS 1."""
        return self.at(f"cam/{camera}/defect")

    def result(self, camera: str) -> str:
        """One message per inspected frame, QoS 0."""
        return self.at(f"cam/{camera}/result")

    def camera_status(self, camera: str) -> str:
        """Retained: is the camera well."""
        return self.at(f"cam/{camera}/status")

    def command(self, verb: str) -> str:
        """Requests to the station; verb `+` is the filter of all."""
        return self.at(f"cmd/{verb}")

    @property
    def responses(self) -> str:
        """Where clients may ask for their answers, each on a level of its own below this."""
        return self.at("response")

    def at(self, rest: str) -> str:
        """Any other topic of the station."""
        return f"{self.root}/{self.station}/{VERSION}/{rest}"

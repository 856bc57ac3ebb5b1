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
        return self._at("status")

    @property
    def birth(self) -> str:
        """Retained: which software, model and cameras."""
        return self._at("birth")

    def defect(self, camera: str) -> str:
        """Defect events of a camera, QoS 1."""
        return self._at(f"cam/{camera}/defect")

    def result(self, camera: str) -> str:
        """One message per inspected frame, QoS 0."""
        return self._at(f"cam/{camera}/result")

    def camera_status(self, camera: str) -> str:
        """Retained: is the camera well."""
        return self._at(f"cam/{camera}/status")

    def command(self, verb: str) -> str:
        """Requests to the station; verb `+` is the filter of all."""
        return self._at(f"cmd/{verb}")

    @property
    def responses(self) -> str:
        """Where clients may ask for their answers, each on a level of its own below this."""
        return self._at("response")

    def _at(self, rest: str) -> str:
        return f"{self.root}/{self.station}/{VERSION}/{rest}"

"""The topics of a station: {root}/{station}/v1/…"""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "v1"  # of the payloads; a change that breaks consumers gets a new level


@dataclass(frozen=True)
class Topics:
    """The topics of one station."""

    root: str
    station: str

    @property
    def status(self) -> str:
        """The state of the station, retained; also the topic of the will."""
        return self.at("status")

    @property
    def birth(self) -> str:
        """Software, model and cameras, retained."""
        return self.at("birth")

    @property
    def health(self) -> str:
        """Regular numbers about the station; QoS 0, with expiry."""
        return self.at("health")

    def defect(self, camera: str) -> str:
        """The events of a camera, QoS 1."""
        return self.at(f"cam/{camera}/defect")

    def result(self, camera: str) -> str:
        """One message per inspected frame, QoS 0."""
        return self.at(f"cam/{camera}/result")

    def camera_status(self, camera: str) -> str:
        """The state of a camera, retained."""
        return self.at(f"cam/{camera}/status")

    def command(self, verb: str) -> str:
        """Commands to the station. The verb `+` makes it the filter for all of them."""
        return self.at(f"cmd/{verb}")

    def picture(self, camera: str) -> str:
        """The JPEGs of a camera's defects, QoS 0."""
        return self.at(f"cam/{camera}/picture")

    @property
    def command_probe(self) -> str:
        """Where `check` finds out whether commands arrive; stations ignore it."""
        return self.command("probe")

    @property
    def responses(self) -> str:
        """Clients may choose a response topic below this one."""
        return self.at("response")

    def at(self, rest: str) -> str:
        """Any other topic of the station."""
        return f"{self.root}/{self.station}/{VERSION}/{rest}"

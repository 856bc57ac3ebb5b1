"""What commands ask of a station."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from latentline.errors import LatentlineError
from latentline.package.identity import ModelIdentity

Result = Mapping[str, Any]  # becomes JSON
Finish = Callable[[Result | LatentlineError], None]


class Actions(Protocol):
    """A station, as the `Commander` sees it: every method is called by the thread that calls `run_pending`.

    A LatentlineError becomes the answer's sentence; whatever else is raised is logged and answered as a fault of ours.
    """

    @property
    def identity(self) -> ModelIdentity:
        """The model that judges now."""
        ...

    def capture(self, camera: str | None) -> list[str]:
        """Take a frame now with `camera`, None for all; the ids of the cameras that will. Raises LatentlineError."""
        ...

    def pause(self) -> None:
        """Inspect nothing until `resume`; nothing changes when it is so already."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...

    def set_threshold(self, value: float, who: str) -> tuple[float, float]:
        """Judge frames by `value` from now on; returns the old and the new threshold."""
        ...

    def switch_model(self, name: str, sha256: str | None, finish: Finish) -> None:
        """Begin to switch to package `name`; `finish` is called once, later or now, with the result or the error."""
        ...

    def diagnostics(self) -> Result:
        """Everything worth knowing about the station at this moment, without secrets."""
        ...

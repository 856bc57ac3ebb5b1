"""What commands can make a station do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from latentline.errors import LatentlineError
from latentline.package.identity import ModelIdentity

Result = Mapping[str, Any]  # becomes JSON
Finish = Callable[[Result | LatentlineError], None]


class Actions(Protocol):
    """A station, as the `Commander` sees it. The thread that calls `Commander.run_pending` calls every method.

    A LatentlineError becomes the `error` of the answer. Any other exception is logged with its traceback, and the
    answer says that the station failed.
    """

    @property
    def identity(self) -> ModelIdentity:
        """The model that inspects now."""
        ...

    def capture(self, camera: str | None) -> list[str]:
        """Take a frame with `camera`, or None for all; returns the ids of the cameras. Raises LatentlineError."""
        ...

    def pause(self) -> None:
        """Inspect nothing until `resume`. Without effect on a paused station."""
        ...

    def resume(self) -> None:
        """Inspect again."""
        ...

    def set_threshold(self, value: float) -> tuple[float, float]:
        """Use `value` as the threshold from now on; returns the old and the new threshold."""
        ...

    def switch_model(self, name: str, sha256: str | None, finish: Finish) -> None:
        """Start to switch to the package `name`; calls `finish` once, now or later, with the result or the error."""
        ...

    def revert_model(self, sha256: str | None, finish: Finish) -> None:
        """Start to go back to the model that ran before the last switch; like `switch_model`."""
        ...

    def fetch_package(self, name: str, sha256: str, finish: Finish) -> None:
        """Start to fetch a package; calls `finish` once, now or later, with the result or the error."""
        ...

    def diagnostics(self) -> Result:
        """The state of the station at this moment, without secrets."""
        ...

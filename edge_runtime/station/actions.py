"""What commands may ask of a station, done by its own thread between two frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from edge_runtime.cameras.feeds import Feeds
from edge_runtime.commands.actions import Finish, Result
from edge_runtime.commands.model_switch import ModelSwitch
from edge_runtime.frames.drift_watch import DriftWatch
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.frames.pipeline import FramePipeline
from edge_runtime.station.announcer import Announcer
from edge_runtime.supervision.snapshot import Snapshot
from latentline.base.version import software_version
from latentline.errors import CameraError
from latentline.package.identity import ModelIdentity


class StationActions:
    """`Actions` of a running station.

    switch    where the station can open other models
    snapshot  of the station
    threshold_of  what holds for a model instead of its package's threshold, None: nothing
    fault     gets the code `paused` while the station is told to inspect nothing
    """

    def __init__(
        self,
        feeds: Feeds,
        pipeline: FramePipeline,
        drift: DriftWatch,
        announcer: Announcer,
        switch: ModelSwitch,
        snapshot: Callable[[], Snapshot],
        threshold_of: Callable[[ModelIdentity], float | None],
        fault: Callable[[str, str | None], None],
    ) -> None:
        self._feeds, self._pipeline, self._drift, self._announcer = feeds, pipeline, drift, announcer
        self._switch, self._snapshot, self._threshold_of, self._fault = switch, snapshot, threshold_of, fault
        self.paused = False

    @property
    def identity(self) -> ModelIdentity:
        """The model that judges now."""
        return self._pipeline.inspector.identity

    def capture(self, camera: str | None) -> list[str]:
        """Ask triggered cameras for a frame. Raises CameraError when none can."""
        asked = self._feeds.trigger(camera)
        if not asked:
            which = "no camera here" if camera is None else f"camera {camera} is not here or"
            raise CameraError(f"{which} takes frames on command; give it `trigger: command`")
        return asked

    def pause(self) -> None:
        """Inspect nothing until `resume`."""
        self.paused = True
        self._feeds.pause()
        self._fault("paused", "a command has paused the station; nothing is inspected until `resume`")

    def resume(self) -> None:
        """Go on."""
        self.paused = False
        self._feeds.resume()
        self._fault("paused", None)

    def set_threshold(self, value: float | None, who: str) -> tuple[float, float]:
        """Judge by `value` from now on, None: the package's; old and new threshold."""
        old = self._pipeline.threshold
        self._pipeline.own_threshold = value
        self._begin_anew()
        return old, self._pipeline.threshold

    def switch_model(self, name: str, sha256: str | None, finish: Finish) -> None:
        """Begin to switch to another package."""
        self._switch.request(name, sha256, finish)

    def use(self, inspector: FrameInspector) -> None:
        """Judge with another inspector from now on."""
        self._pipeline.inspector = inspector
        self._pipeline.own_threshold = self._threshold_of(inspector.identity)
        self._begin_anew()

    def diagnostics(self) -> Result:
        """The station in numbers, and what it is made of; no secrets are in it."""
        snapshot = self._snapshot()
        cameras = {name: asdict(report) for name, report in self._feeds.states().items()}
        return {**_plain(asdict(snapshot)), "cameras": cameras, "software": software_version()}

    def _begin_anew(self) -> None:
        self._drift.restart(self._pipeline.inspector, self._pipeline.threshold)
        self._announcer.birth(self.identity, self._pipeline.threshold)


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Without what JSON does not know."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

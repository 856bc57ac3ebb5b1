"""What commands make a running station do, in its own thread between two frames."""

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

    switch        opens other models
    snapshot      returns the state of the station
    threshold_of  returns the threshold for a model instead of its package's; None: the package's
    fault         gets the code `paused` while a command has paused the station
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
        """The model that inspects now."""
        return self._pipeline.inspector.identity

    def capture(self, camera: str | None) -> list[str]:
        """Trigger cameras; returns their ids. Raises CameraError when no camera can take a frame."""
        triggered = self._feeds.trigger(camera)
        if not triggered:
            which = "no camera takes" if camera is None else f"there is no camera {camera}, or it does not take"
            raise CameraError(f"{which} frames on command; give a camera `trigger: command`")
        return triggered

    def pause(self) -> None:
        """Inspect nothing until `resume`."""
        self.paused = True
        self._feeds.pause()
        self._fault("paused", "a command has paused the station; it inspects nothing until `resume`")

    def resume(self) -> None:
        """Inspect again."""
        self.paused = False
        self._feeds.resume()
        self._fault("paused", None)

    def set_threshold(self, value: float | None) -> tuple[float, float]:
        """Use `value` from now on, or with None the package's; returns the old and the new threshold."""
        old = self._pipeline.threshold
        self._pipeline.own_threshold = value
        self._announce_model()
        return old, self._pipeline.threshold

    def switch_model(self, name: str, sha256: str | None, finish: Finish) -> None:
        """Start to switch to another package."""
        self._switch.request(name, sha256, finish)

    def use_inspector(self, inspector: FrameInspector) -> None:
        """Inspect with `inspector` from now on."""
        self._pipeline.inspector = inspector
        self._pipeline.own_threshold = self._threshold_of(inspector.identity)
        self._announce_model()

    def diagnostics(self) -> Result:
        """The snapshot, the cameras and the version, without secrets."""
        return {**_plain(asdict(self._snapshot())), "software": software_version()}

    def _announce_model(self) -> None:
        """Restart drift detection and publish `birth`: model or threshold has changed."""
        self._drift.restart(self._pipeline.inspector, self._pipeline.threshold)
        self._announcer.birth(self.identity, self._pipeline.threshold)


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Paths as strings, for JSON."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

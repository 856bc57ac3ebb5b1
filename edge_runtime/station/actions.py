"""What commands make a running station do, in its own thread between two frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from edge_runtime.cameras.feeds import Feeds
from edge_runtime.commands.actions import Finish, Result
from edge_runtime.commands.fetcher import PackageFetcher
from edge_runtime.commands.model_switch import ModelSwitch
from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.request import CommandError
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
    fetcher       fetches packages
    overrides     what commands have set
    own_model     the YAML's
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
        fetcher: PackageFetcher,
        overrides: Overrides,
        own_model: Path,
        snapshot: Callable[[], Snapshot],
        threshold_of: Callable[[ModelIdentity], float | None],
        fault: Callable[[str, str | None], None],
    ) -> None:
        self._feeds, self._pipeline, self._drift, self._announcer = feeds, pipeline, drift, announcer
        self._switch, self._snapshot, self._threshold_of, self._fault = switch, snapshot, threshold_of, fault
        self._fetcher, self._overrides, self._own_model = fetcher, overrides, own_model
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

    def revert_model(self, sha256: str | None, finish: Finish) -> None:
        """Start to go back to the model that ran before the last switch. Raises CommandError when there is none."""
        before = self._overrides.before
        if before is None:
            raise CommandError(
                "there is no model to go back to: the station runs the model of its file, or has gone back already; "
                "the command `model` switches to a package that you name"
            )
        if sha256 not in (None, before.sha256):
            raise CommandError(f"the model before has sha256 {before.sha256}, not the requested {sha256}")
        path = self._own_model if before.name is None else self._switch.path(before.name)
        self._switch.revert(path, before.sha256, lambda _: self._overrides.revert(before), finish)

    def fetch_package(self, name: str, sha256: str, finish: Finish) -> None:
        """Start to fetch a package."""
        self._fetcher.request(name, sha256, finish)

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

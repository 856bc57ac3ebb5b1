"""Reports an inspected frame: writes its event to the spool, publishes pictures and result, releases the frame."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping

from edge_runtime.cameras.base import Frame
from edge_runtime.frames.drift_watch import DriftWatch
from edge_runtime.frames.pipeline import InspectedFrame
from edge_runtime.frames.summary import Summary
from edge_runtime.mqtt.events import Message, Messages
from edge_runtime.mqtt.pictures import CONTENT_TYPE, defect_pictures
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.settings import PictureSection
from edge_runtime.mqtt.spool.settings import SpoolSection
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.mqtt.topics import Topics
from edge_runtime.supervision.watchdog import Stage
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity

_log = logging.getLogger(__name__)

Observer = Callable[[Frame, InspectionResult], None]
Archive = Callable[[Frame, InspectionResult, ModelIdentity, str | None], None]
Shadowed = Callable[[Frame, InspectionResult, ModelIdentity], None]


class FrameReporter:
    """Reports inspected frames. Used by the station's thread.

    limits    of the spool
    stage     of the watchdog: one write to the disk
    fault     called with (code, sentence or None); the codes are `disk` and `spool`
    done      called with each frame whose event is on the disk, or that has none
    pictures  None: no pictures of defects
    results   publish a short message about each frame, normal ones included
    observer  called with each inspected frame; its exceptions are logged and have no other effect
    reported  called with each inspected frame, when its verdict is there
    archive   called with each inspected frame, its model, and the id of its event or None; must not wait
    shadow    called with each inspected frame and its model; must not wait
    """

    def __init__(
        self,
        messages: Messages,
        topics: Topics,
        spool: Spool,
        limits: SpoolSection,
        publisher: Publisher,
        drift: DriftWatch,
        summary: Summary,
        stage: Stage,
        fault: Callable[[str, str | None], None],
        done: Callable[[Frame], None],
        *,
        pictures: PictureSection | None = None,
        results: bool = False,
        observer: Observer | None = None,
        reported: Callable[[Frame], None] = lambda _: None,
        archive: Archive = lambda *_: None,
        shadow: Shadowed = lambda *_: None,
    ) -> None:
        self._messages, self._topics, self._publisher = messages, topics, publisher
        self._spool, self._limits, self._drift, self._summary = spool, limits, drift, summary
        self._stage, self._fault, self._done, self._observer = stage, fault, done, observer
        self._pictures, self._results, self._reported = pictures, results, reported
        self._archive, self._shadow = archive, shadow
        self._dropped = spool.dropped

    def report(self, inspected: InspectedFrame, model: ModelIdentity) -> None:
        """Report one frame, inspected by `model`."""
        frame, inspection = inspected.frame, inspected.inspection
        stored, event_id = True, None
        if inspection.is_abnormal:
            self._summary.abnormal += 1
            event = self._messages.defect(frame, inspection, model, inspected.wait_ms)
            event_id = str(event["event_id"])
            stored = self._spool_event(frame.camera, event)
            self._send_pictures(frame, inspection, event)
        if self._results:
            self._publisher.send_json(
                self._topics.result(frame.camera), self._messages.result(frame, inspection, inspected.wait_ms)
            )
        self._reported(frame)
        self._archive(frame, inspection, model, event_id)
        self._shadow(frame, inspection, model)
        self._drift.add(frame.picture, inspection)
        self._observe(frame, inspection)
        if stored:
            self._done(frame)

    def check_spool(self) -> None:
        """Report that the spool has room again."""
        limits = self._limits
        small = limits.max_mib is None or self._spool.size_bytes < 0.9 * (limits.max_mib << 20)
        if small and len(self._spool) < 0.9 * limits.max_events:
            self._fault("spool", None)

    def _spool_event(self, camera: str, event: Message) -> bool:
        """Write an event to the spool. Returns whether it is on the disk."""
        try:
            with self._stage.working():
                self._spool.append(self._topics.defect(camera), event)
        except (sqlite3.Error, ValueError) as error:
            self._summary.lost += 1
            self._fault("disk", f"an event cannot be written to {self._limits.path} ({error})")
            return False
        self._summary.events += 1
        self._fault("disk", None)
        if (dropped := self._spool.dropped) != self._dropped:
            limits = _exceeded(self._dropped, dropped)
            self._fault("spool", f"the spool has reached its limit ({limits}), so the oldest events are dropped")
            self._dropped = dropped
        self._publisher.wake_up()
        return True

    def _send_pictures(self, frame: Frame, inspection: InspectionResult, event: Message) -> None:
        settings = self._pictures
        if settings is None or not self._publisher.connected:
            return
        for picture in defect_pictures(frame, inspection, event, settings, self._publisher.maximum_packet_size):
            self._publisher.send_once(
                self._topics.at(picture.topic),
                picture.payload,
                content_type=CONTENT_TYPE,
                user_properties=picture.properties,
            )

    def _observe(self, frame: Frame, inspection: InspectionResult) -> None:
        if self._observer is None:
            return
        try:
            self._observer(frame, inspection)
        except Exception:
            _log.exception("the observer failed on %s", frame.source)


def _exceeded(before: Mapping[str, int], now: Mapping[str, int]) -> str:
    """Which limits caused events to be dropped, e.g. "bytes"."""
    return ", ".join(cause for cause in now if now[cause] > before.get(cause, 0))

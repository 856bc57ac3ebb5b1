"""Texts that describe a station's messages to people."""

from __future__ import annotations

import json

from edge_runtime.tools.listen.messages import Birth, CameraStatus, Event, HealthMessage, Response, Status
from latentline.base.counted import counted

_MAX_BOXES = 3  # boxes of one event in a text


def status(message: Status) -> str:
    """State and faults of a station."""
    if message.state == "offline":
        return "offline: the broker reports that the station has vanished"
    reasons = "; ".join(f"{reason.code}: {reason.message}" for reason in message.reasons)
    counts = ((message.dead_letters, "dead letter"), (message.spool_damaged, "lost to damage"))
    kept = [f"{count} {what}{'s' if count > 1 and what == 'dead letter' else ''}" for count, what in counts if count]
    text = f"{message.state} ({reasons})" if reasons else message.state
    return ", ".join([text, *kept])


def birth(message: Birth) -> str:
    """What runs on a station."""
    cameras = ", ".join(f"{camera.id} ({camera.kind})" for camera in message.cameras)
    return (
        f"{message.software.name} {message.software.version}, model {message.model.name} {message.model.sha256[:12]}, "
        f"backend {message.backend}, threshold {message.threshold:g}, cameras {cameras}"
    )


def camera(name: str, message: CameraStatus) -> str:
    """State of a camera, with the reason, and how late its verdicts are."""
    late = "" if message.lateness_seconds is None else f", verdicts {message.lateness_seconds:.1f} s after their frames"
    return f"{name}: {message.state}" + (f" ({message.reason})" if message.reason else "") + late


def event(name: str, message: Event) -> str:
    """Score and boxes of an abnormal frame."""
    boxes = [
        f"{width} x {height} px at x {x} y {y}, peak {box.peak:.1f}"
        for box in message.defects[:_MAX_BOXES]
        for x, y, width, height in [box.bbox]
    ]
    more = len(message.defects) - len(boxes)
    fields = [
        f"{name}: score {message.score:.2f} > {message.threshold:.2f}",
        "; ".join(boxes) + (f"; {more} more" if more else "") or "no box",
        f"seq {message.seq}" + (", replayed" if message.replayed else ""),
    ]
    return "  ".join(fields)


def response(message: Response) -> str:
    """Outcome of a command."""
    verb = message.verb or "a command"
    if not message.ok:
        return f"{verb} refused: {message.error}"
    return f"{verb} done" + ("" if message.result is None else f": {json.dumps(message.result)}")


def health(message: HealthMessage) -> str:
    """State and numbers of a station."""
    faults = f" ({', '.join(message.faults)})" if message.faults else ""
    return (
        f"{message.state}{faults}, up {_duration(message.uptime_seconds)}, "
        f"{counted(message.frames.inspected, 'frame')}, "
        f"{message.frames.abnormal} abnormal{_lateness(message)}, {counted(message.events.waiting, 'event')} waiting, "
        f"{message.process.rss_bytes / 2**20:.0f} MiB"
    )


def _lateness(message: HealthMessage) -> str:
    known = [camera.lateness_seconds for camera in message.cameras if camera.lateness_seconds is not None]
    return f", verdicts up to {max(known):.1f} s after their frames" if known else ""


def _duration(seconds: float) -> str:
    hours, minutes = int(seconds // 3600), int(seconds // 60 % 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {int(seconds % 60)} s"

"""A station whose verdicts are late says so: on `status`, on the camera's status, in `health`, in metrics."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

from edge_runtime.cameras.base import Frame
from tests.edge_runtime.fakes import BRIGHT, DARK, station_data, validate
from tests.edge_runtime.faults.running import ScriptedCamera, grey, running
from tests.mosquitto import Mosquitto, Subscriber


class _LateCamera(ScriptedCamera):
    """Gives frames that have waited in its driver for 24 s, or since `late` is False for none."""

    late = True

    def read(self) -> Frame | None:
        """The next step."""
        frame = super().read()
        if frame is None:
            return None
        since = time.monotonic() - (24 if self.late else 0)
        return Frame(frame.image, datetime.now(timezone.utc), frame.camera, frame.source, frame.number, since=since)


def test_late_verdicts_are_said_everywhere(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """24 s late is above the limit of 10 s; the fault is over when verdicts are in time again."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    data["cameras"] = [{"id": "top", "kind": "device", "source": 0, "every_frame": True}]
    data["supervision"]["health_seconds"] = 1
    camera = _LateCamera(grey(BRIGHT), grey(DARK))
    with Subscriber(mosquitto.port) as subscriber, running(data, camera) as station:
        subscriber.wait("v1/status", lambda all_: any("camera.top.late" in str(m.body["reasons"]) for m in all_))
        (status,) = [
            message.body
            for message in subscriber.wait("cam/top/status", lambda all_: any(m.body["reason"] for m in all_))
            if message.body["reason"]
        ]
        assert "more than 10 s after their frames" in status["reason"] and 24 <= status["lateness_seconds"] < 44
        assert status["state"] == "ok"
        assert 24 <= (station.snapshot().cameras["top"].lateness_seconds or 0) < 44
        health = subscriber.wait("v1/health", lambda all_: any("camera.top.late" in m.body["faults"] for m in all_))
        assert 24 <= health[-1].body["cameras"][0]["lateness_seconds"] < 44
        camera.late = False
        camera.put(grey(DARK))
        subscriber.wait_state("online")
        subscriber.wait("cam/top/status", lambda all_: all_[-1].body["reason"] is None)
    for message in subscriber.messages():
        validate(message.topic, message.body)

from __future__ import annotations

import io
import json
import logging
import os
import string
import threading
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from edge_runtime.config import load_station
from edge_runtime.station.configured import broker_of, secrets_of
from edge_runtime.station.station import Station
from edge_runtime.supervision.logs import configure_log
from edge_runtime.tools.check import check_station
from tests.edge_runtime.commands.requester import Requester
from tests.edge_runtime.fakes import FakeInspector, station_data
from tests.mosquitto import Mosquitto, Subscriber
from tests.sharing import free_port
from tests.waiting import wait_until

LEFT, RIGHT = "Left4711", "Right0815"


class _Refusing:
    """A `cv2.VideoCapture` that quotes its address in an error, or does not open."""

    def __init__(self, source: str, *_: Any) -> None:
        if "talkative" in source:
            raise RuntimeError(f"401 for {source!r}, {source.partition('me:')[2]}")

    def isOpened(self) -> bool:
        return False

    def release(self) -> None:
        pass


def _data(folder: Path, port: int, http_port: int) -> dict[str, Any]:
    data = station_data(folder, port)
    passwords = [f"{LEFT}{character}{RIGHT}" for character in string.punctuation + " "]
    sources = [f"rtsp://me:{password}@host/talkative" for password in passwords]
    sources += [f"http://host/1?access_token={password}&fps=5" for password in passwords[::3]]
    data["cameras"] = [
        {"id": f"c{number}", "kind": "stream", "source": source, "reopen_seconds": 60, "reopen_max_seconds": 60}
        for number, source in enumerate(sources)
    ]
    data["station"]["id"], data["mqtt"]["root"] = "s", "l"  # the topics of Requester
    data["supervision"] = {"http_port": http_port}
    data["commands"] = {"verbs": ["diagnostics"]}
    return data


def test_no_camera_secret_leaves_the_station(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever punctuation a password or token has, log, messages, answers, pages and `check` hold no half of it."""
    monkeypatch.setattr(cv2, "VideoCapture", _Refusing)
    mosquitto.start()
    path = tmp_path / "station.yaml"
    data = _data(tmp_path, mosquitto.port, free_port())
    path.write_text(yaml.safe_dump(data))
    config = load_station(path)
    root, log = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    configure_log(config.log, config.station.id, secrets=secrets_of(broker_of(config), config), stream=log)
    seen = []
    try:
        with Subscriber(mosquitto.port) as subscriber:
            station = Station(config, FakeInspector(), path=path)
            thread = threading.Thread(target=station.run)
            thread.start()
            codes = {f"camera.{camera['id']}" for camera in data["cameras"]}
            wait_until(lambda: codes <= set(station.health.faults), "every camera to fail")
            with Requester(mosquitto.port) as requester:
                seen.append(json.dumps(requester.ask("diagnostics", os.urandom(6), {})))
            for page in ("healthz", "metrics"):
                url = f"http://127.0.0.1:{data['supervision']['http_port']}/{page}"
                with urllib.request.urlopen(url, timeout=10) as answer:
                    seen.append(answer.read().decode())
            subscriber.wait("/status", lambda all_: len({message.topic for message in all_}) > len(codes))
            station.stop()
            thread.join(20)
            seen += [json.dumps(message.body, ensure_ascii=False) for message in subscriber.messages()]
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    path.write_text(yaml.safe_dump({**data, "cameras": data["cameras"][::8]}))
    seen += [finding.message for finding in check_station(path, lambda *_, **__: FakeInspector())]
    seen.append(log.getvalue())
    assert "401 for" in log.getvalue() and any('"birth"' in text or "cameras" in text for text in seen)
    for text in seen:
        assert (found := text.find(LEFT)) < 0 and RIGHT not in text, text[max(0, found - 200) : found + 100]

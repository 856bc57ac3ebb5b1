from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from edge_runtime.backoff import Backoff
from edge_runtime.mqtt.connection import Broker, Will
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool import Spool
from tests.edge_runtime.fakes import ROOT
from tests.mosquitto import Mosquitto


def test_consumer_of_the_page_prints_an_event_once(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The Python example of docs/mqtt.md runs as it stands, prints a defect, and drops its duplicate."""
    mosquitto.start()
    page = (ROOT / "docs" / "mqtt.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    spool = Spool(tmp_path / "s.sqlite", 10)
    event: dict[str, object] = {
        "station": "line-1",
        "camera": "top",
        "captured_at": "now",
        "score": 4.5,
        "defects": [{"bbox": [1, 2, 3, 4]}],
    }
    for event_id in ("a", "a", "b"):
        spool.append("latentline/line-1/v1/cam/top/defect", {**event, "event_id": event_id})
    command = [sys.executable, "-c", code, "127.0.0.1", str(mosquitto.port)]
    consumer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert consumer.stdout is not None
    try:
        mosquitto.wait_for_log("defect-log .*latentline/|latentline/.*defect-log")
        broker = Broker("127.0.0.1", mosquitto.port, "sender")
        publisher = Publisher(
            broker, spool, lambda: Will("l/status", b"{}", 0), Backoff(0.1, 0.1), lambda code, sentence: None
        )
        publisher.start()
        publisher.wait_first_try(10)
        publisher.close("l/status", {}, 10.0)
        lines = [consumer.stdout.readline() for _ in range(2)]
    finally:
        consumer.kill()
        rest = consumer.communicate()[0]
    assert lines == ["now line-1 top 4.5 [1, 2, 3, 4]\n"] * 2
    assert rest == ""
    spool.close()


def test_page_links_every_schema() -> None:
    """Each schema file is linked from the page, and each link leads to one that parses."""
    page = (ROOT / "docs" / "mqtt.md").read_text()
    linked = set(re.findall(r"\((mqtt/[a-z-]+\.schema\.json)\)", page))
    files = {f"mqtt/{path.name}" for path in (ROOT / "docs" / "mqtt").glob("*.json")}
    assert linked == files
    for name in files:
        assert json.loads((ROOT / "docs" / name).read_text())["$schema"].endswith("2020-12/schema")

"""A whole station with an archive."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.config import StationConfig
from edge_runtime.station.station import Station
from edge_runtime.supervision.metrics import metrics_text
from latentline.base.strict_yaml import parse
from tests.edge_runtime.fakes import BRIGHT, DARK, FakeInspector, station_data, write_picture
from tests.mosquitto import Mosquitto, Subscriber


def test_events_and_archive_tell_the_same(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Each event has its picture in the archive, by its id and with its score; metrics count the pictures."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    data["archive"] = {"path": str(tmp_path / "archive"), "min_free_mib": 0, "shares": {"normal": 1.0}}
    for number, level in enumerate((DARK, BRIGHT, DARK, BRIGHT)):
        write_picture(tmp_path / "pictures" / f"{number}.png", level)
    with Subscriber(mosquitto.port) as subscriber:
        station = Station(parse(data, StationConfig, "-"), FakeInspector())
        station.run()
        events = subscriber.wait("defect", lambda all_: len(all_) == 2)
    reader = ArchiveReader(tmp_path / "archive")
    for event in events:
        verdict = reader.of_event(event.body["event_id"]).verdict
        assert verdict.source == event.body["frame"]["source"]
        assert (verdict.score, verdict.threshold) == (event.body["score"], event.body["threshold"])
        assert json.loads(json.dumps(verdict.defects)) == event.body["defects"]
    assert reader.frames(FrameQuery(abnormal=False)).total == 2
    snapshot = station.snapshot()
    assert snapshot.archive is not None
    assert dataclasses.asdict(snapshot.archive) | {"size": 0} == {
        "written": 4,
        "dropped": {},
        "pruned": 0,
        "waiting": 0,
        "pictures": 0,  # it is closed
        "size": 0,
    }
    assert "latentline_archive_written_total 4.0" in metrics_text(snapshot, "1").decode()


def test_an_archive_that_cannot_be_opened_is_a_fault_and_no_end(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A station whose archive is a file inspects and sends its events, and its state says why nothing is archived."""
    mosquitto.start()
    data = station_data(tmp_path, mosquitto.port)
    (tmp_path / "archive").write_text("no folder")
    data["archive"] = {"path": str(tmp_path / "archive"), "min_free_mib": 0}
    write_picture(tmp_path / "pictures" / "1.png", BRIGHT)
    station = Station(parse(data, StationConfig, "-"), FakeInspector())
    summary = station.run()
    assert (summary.events, summary.published) == (1, 1)
    assert "is not a folder" in station.health.faults["archive"]
    snapshot = station.snapshot()
    assert snapshot.archive is not None
    assert snapshot.archive.dropped == {"not usable": 1}

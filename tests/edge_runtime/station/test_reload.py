from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.config import StationConfig, load_station
from edge_runtime.station.reload import Changes, Reload, difference
from edge_runtime.supervision.systemd import Systemd
from latentline.base.strict_yaml import parse
from tests.edge_runtime.fakes import station_data


def _write(folder: Path, **changes: Any) -> Path:
    file = folder / "station.yaml"
    data = station_data(folder, 1883)
    for name, value in changes.items():
        data[name] = {**data[name], **value} if isinstance(value, dict) else value
    file.write_text(yaml.safe_dump(data))
    return file


class _Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, str | None] = {}
        file = _write(folder)
        self.reload = Reload(file, load_station(file), self.faults.__setitem__, Systemd({}))

    def change(self, **changes: Any) -> Changes | None:
        _write(self.folder, **changes)
        self.reload.request()
        return self.reload.run_pending()


def test_a_live_setting_changes(tmp_path: Path) -> None:
    """A reload changes the threshold without a restart, once per request."""
    bench = _Bench(tmp_path)
    assert bench.reload.run_pending() is None
    changes = bench.change(threshold=4.5)
    assert changes == Changes(applied=("threshold",))
    assert str(changes) == "threshold changed"
    assert bench.reload.running.threshold == 4.5
    assert bench.reload.run_pending() is None


def test_other_setting_needs_a_restart_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A setting that needs a restart keeps its old value, and each reload names it."""
    bench = _Bench(tmp_path)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            changes = bench.change(mqtt={"host": "elsewhere"}, threshold=4.5)
            assert changes is not None
            assert changes.need_restart == ("mqtt.host",)
            assert bench.reload.running.mqtt.host == "127.0.0.1"
            assert bench.reload.running.threshold == 4.5
    assert "threshold changed; mqtt.host needs a restart" in caplog.text
    assert str(Changes(need_restart=("a", "b", "c"))) == "a, b and c need a restart"
    assert str(bench.change()) == "threshold changed"
    assert str(bench.change()) == "nothing changed"


@pytest.mark.parametrize(
    "text", ["", "station: [", "{}", "threshold: high", "station: {id: a/b}", "\x00", "a: &a [*a]", "- 1"]
)
def test_broken_file_changes_nothing_and_is_a_fault(tmp_path: Path, text: str) -> None:
    """A wrong file changes nothing and is a fault until a reload finds it correct."""
    bench = _Bench(tmp_path)
    before = bench.reload.running
    (tmp_path / "station.yaml").write_text(text)
    bench.reload.request()
    assert bench.reload.run_pending() is None
    assert bench.reload.running is before
    assert "keeps its old configuration" in str(bench.faults["config"])
    assert bench.change() == Changes()
    assert bench.faults["config"] is None


def test_file_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    """A missing file is a fault."""
    bench = _Bench(tmp_path)
    (tmp_path / "station.yaml").unlink()
    bench.reload.request()
    assert bench.reload.run_pending() is None
    assert "cannot be read" in str(bench.faults["config"])


def test_cameras_are_compared_by_id(tmp_path: Path) -> None:
    """A change names the camera by its id, in any order of the list; a new camera is named as a whole."""
    data = station_data(tmp_path, 1883)
    top = data["cameras"][0]
    side = {**top, "id": "side"}
    old = parse({**data, "cameras": [top, side]}, StationConfig, "-")
    same = parse({**data, "cameras": [side, top]}, StationConfig, "-")
    assert difference(old, same) == Changes()
    changed = parse({**data, "cameras": [side, {**top, "stall_seconds": 9.0}]}, StationConfig, "-")
    assert difference(old, changed) == Changes(need_restart=("cameras.top.stall_seconds",))
    less = parse({**data, "cameras": [top]}, StationConfig, "-")
    assert difference(old, less) == difference(less, old) == Changes(need_restart=("cameras.side",))


def test_values_are_not_logged(tmp_path: Path) -> None:
    """Changes hold only names, so that a password in an address cannot reach the log."""
    data = station_data(tmp_path, 1883)
    old = parse(data, StationConfig, "-")
    stream = {**data, "mqtt": {**data["mqtt"], "username": "hush-hush"}}
    assert "hush" not in str(difference(old, parse(stream, StationConfig, "-")))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "threshold": st.floats(0, 9),
            "port": st.integers(1, 65535),
            "keep_alive": st.integers(5, 99),
            "max_events": st.integers(1, 9),
        },
    )
)
def test_difference_names_what_differs_and_nothing_else(tmp_path_factory: Any, changes: dict[str, Any]) -> None:
    """Each changed key is named once and on the right side; a configuration does not differ from itself."""
    folder = tmp_path_factory.getbasetemp()
    data = station_data(folder, 1883)
    old = parse(data, StationConfig, "-")
    data["threshold"] = changes.get("threshold")
    data["mqtt"] |= {key: changes[key] for key in ("port", "keep_alive") if key in changes}
    data["spool"] |= {key: changes[key] for key in ("max_events",) if key in changes}
    new = parse(data, StationConfig, "-")
    found = difference(old, new)
    assert found.applied == (("threshold",) if new.threshold != old.threshold else ())
    pairs = {
        "mqtt.port": (old.mqtt.port, new.mqtt.port),
        "mqtt.keep_alive": (old.mqtt.keep_alive, new.mqtt.keep_alive),
        "spool.max_events": (old.spool.max_events, new.spool.max_events),
    }
    assert found.need_restart == tuple(sorted(name for name, (before, after) in pairs.items() if before != after))
    assert difference(new, new) == Changes()

"""The chaos bench waits for the station that runs now, not for one that it has killed."""

from datetime import datetime, timedelta, timezone

import pytest

from bench.station.rig.connected import ConnectedStation
from edge_runtime.mqtt.events import utc

_SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("process", "later", "retained", "state", "connected"),
    [
        (7, _SECOND, False, "online", True),
        (7, _SECOND, False, "degraded", True),
        (6, _SECOND, False, "online", False),  # of a station that was killed, and came late
        (7, -_SECOND, False, "online", False),  # the broker was killed since, and sends it a second time
        (7, _SECOND, True, "online", False),
        (7, _SECOND, False, "offline", False),
    ],
)
def test_only_a_new_status_of_the_running_station_counts(
    process: int, later: timedelta, retained: bool, state: str, connected: bool
) -> None:
    """A status that another process sent, or that was sent to an earlier broker, says nothing about this one."""
    station = ConnectedStation()
    station.started(7)
    station.lost()
    status = {"boot_id": str(process), "at": utc(datetime.now(timezone.utc) + later), "state": state}
    station.status_received(status, retained=retained)
    assert station.is_set() == connected


def test_killed_broker_and_new_station_are_waited_for() -> None:
    """After each of them it takes another status."""
    station = ConnectedStation()
    status = {"boot_id": "7", "at": utc(datetime.now(timezone.utc) + _SECOND), "state": "online"}
    for change in ("started", "lost"):
        if change == "started":
            station.started(7)
        else:
            station.lost()
        assert not station.is_set()
        station.status_received(status, retained=False)
        assert station.is_set()

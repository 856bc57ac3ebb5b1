"""A bad network (slow, cut, half-open, black hole) costs time, but no event, thread or socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edge_runtime.fakes import BRIGHT, station_data, validate
from tests.edge_runtime.faults.running import ScriptedCamera, descriptors, grey, running, threads
from tests.mosquitto import Mosquitto, Received, Subscriber
from tests.proxy import Proxy
from tests.waiting import wait_until

EVENTS = 12


def _numbers(messages: list[Received]) -> list[int]:
    """The distinct `seq`, in the order of first arrival."""
    return list(dict.fromkeys(message.body["seq"] for message in messages))


def _expect_all(subscriber: Subscriber, count: int) -> None:
    wanted = list(range(1, count + 1))
    found = subscriber.wait("defect", lambda all_: len(_numbers(all_)) >= count)
    assert sorted(_numbers(found)) == wanted
    assert len({message.body["event_id"] for message in found}) == count
    for message in subscriber.messages():
        validate(message.topic, message.body)


def _delay(proxy: Proxy) -> None:
    proxy.delay = 0.05


def _throttle(proxy: Proxy) -> None:
    proxy.throttle = 20_000.0  # an event is about 1 kB on the wire


FAULTS = {"delayed": _delay, "throttled": _throttle, "cut": Proxy.cut, "black hole": Proxy.black_hole}


@pytest.mark.parametrize("name", FAULTS)
def test_events_arrive_over_a_bad_network(tmp_path: Path, mosquitto: Mosquitto, name: str) -> None:
    """Every event arrives, the numbers have no gap, and the status is `online` once the network works again."""
    mosquitto.start()
    camera = ScriptedCamera()
    with Proxy(mosquitto.port) as proxy, Subscriber(mosquitto.port) as subscriber:
        with running(station_data(tmp_path, proxy.port), camera) as station:
            subscriber.wait_state("online")
            for written in range(4, EVENTS + 1, 4):
                FAULTS[name](proxy)
                camera.put(*[grey(BRIGHT)] * 4)
                wait_until(lambda: station.summary.events == written, "events on the disk")  # noqa: B023
                if name == "black hole":
                    proxy.heal()
            _expect_all(subscriber, EVENTS)
            subscriber.wait_state("online")
            proxy.heal()
        subscriber.wait_state("stopped")


def test_half_open_connection_is_noticed_and_replaced(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The keep-alive detects a broker that silently vanished; events are sent on the next connection, marked as
    replayed, and `online` replaces the `offline` that the broker published."""
    mosquitto.start()
    camera = ScriptedCamera(grey(BRIGHT))
    data = station_data(tmp_path, 1, will_delay_seconds=0)
    with Proxy(mosquitto.port) as proxy, Subscriber(mosquitto.port) as subscriber:
        data["mqtt"]["port"] = proxy.port
        with running(data, camera, keep_alive=1) as station:
            _expect_all(subscriber, 1)
            proxy.half_open()
            camera.put(*[grey(BRIGHT)] * (EVENTS - 1))
            subscriber.wait_state("offline")
            connections = proxy.connections
            wait_until(lambda: proxy.connections > connections, "an attempt to reconnect")
            assert station.summary.events == EVENTS
            proxy.heal()
            _expect_all(subscriber, EVENTS)
            assert subscriber.messages("defect")[-1].body["replayed"]
            subscriber.wait_state("online")


def test_station_stops_while_black_holed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A broker that reads nothing delays the stop by `drain_seconds` at most; the events are sent after a restart."""
    mosquitto.start()
    data = station_data(tmp_path, 1, drain_seconds=0.2)
    with Proxy(mosquitto.port) as proxy, Subscriber(mosquitto.port) as subscriber:
        data["mqtt"]["port"] = proxy.port
        camera = ScriptedCamera()
        with running(data, camera) as station:
            subscriber.wait_state("online")
            proxy.black_hole()
            camera.put(*[grey(BRIGHT)] * EVENTS)
            wait_until(lambda: station.summary.events == EVENTS, "events on the disk")
        assert station.summary.waiting == EVENTS  # the broker got none of them
        proxy.heal()
        with running(data, ScriptedCamera()):
            _expect_all(subscriber, EVENTS)
            subscriber.wait_state("online")


def test_bad_network_leaks_no_threads_or_sockets(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """After many lost connections, the station has the threads and descriptors of one connection."""
    mosquitto.start()
    outside = threads()
    camera = ScriptedCamera()
    with (
        Subscriber(mosquitto.port) as subscriber,
        Proxy(mosquitto.port) as proxy,
        running(station_data(tmp_path, proxy.port), camera) as station,
    ):
        subscriber.wait_state("online")
        threads_before, open_before = threads(), descriptors()
        for number in range(15):
            connections = proxy.connections
            if number % 3 == 0:
                proxy.half_open()
                proxy.heal()  # cuts what was half open
            else:
                proxy.cut()
            camera.put(grey(BRIGHT))
            wait_until(lambda: proxy.connections > connections, "a new connection")  # noqa: B023
        wait_until(lambda: station.summary.events == 15, "events on the disk")
        wait_until(lambda: threads() == threads_before, "the threads of one connection")
        wait_until(lambda: descriptors() <= open_before, "the descriptors of one connection")
    wait_until(lambda: threads() == outside, "the end of every thread")

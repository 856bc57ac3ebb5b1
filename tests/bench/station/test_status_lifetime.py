"""The status of a station that has died expires."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.station.rig.broker import KillableBroker
from tests.edge_runtime.fakes import station_data
from tests.edge_runtime.faults.running import ScriptedCamera, running
from tests.proxy import Proxy
from tests.waiting import wait_until


def test_status_of_a_station_that_died_with_its_broker_expires(tmp_path: Path) -> None:
    """A broker that was killed and restarts has kept the status but not the will: when the station stays away, `online`
    expires; when the station is back, it is there again."""
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("MOSQUITTO_SUB IS MISSING: the status test did not run; install the package `mosquitto-clients`")
    broker = KillableBroker(tmp_path / "broker")

    def online() -> bool:
        question = ["mosquitto_sub", "-V", "5", "-p", str(broker.port), "-t", "latentline/+/v1/status"]
        answer = subprocess.run([*question, "--retained-only", "-C", "1", "-W", "1"], capture_output=True, text=True)
        return '"online"' in answer.stdout

    broker.start()
    try:
        with Proxy(broker.port) as proxy:
            data = station_data(tmp_path, proxy.port, will_delay_seconds=1)
            with running(data, ScriptedCamera(), keep_alive=1):
                wait_until(online, "a status")
                proxy.black_hole()
                broker.kill()
                broker.start()
                assert online()
                wait_until(lambda: not online(), "the status to expire")
                proxy.heal()
                proxy.cut()
                wait_until(online, "a status again")
    finally:
        broker.stop()

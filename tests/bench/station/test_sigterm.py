"""A station bench that is told to end takes its processes with it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.processes import children, is_running
from tests.mosquitto import Mosquitto
from tests.paths import ROOT
from tests.waiting import wait_until


def test_sigterm_ends_station_and_broker(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """After SIGTERM neither the station nor mosquitto runs, and the folder of the run is gone."""
    command = [sys.executable, "-m", "bench.station.chaos", "--kills", "0", "--frames", "100000"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}) as bench:
        wait_until(lambda: any(tmp_path.glob("chaos-*/frames.log")), "the station to inspect frames", seconds=60)
        started = children(bench.pid)
        bench.terminate()
    assert bench.returncode == 143
    assert len(started) == 2 and not any(is_running(pid) for pid in started)
    assert not any(tmp_path.glob("chaos-*"))

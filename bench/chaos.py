"""Is an event ever lost? A station and its broker are killed at random moments and started again.

python bench/chaos.py [--kills N] [--frames N] [--seed N] [--json]

A real station over a lossless source (two of three frames show a defect), a real mosquitto that keeps everything on
disk, a subscriber with a session. N times the station is killed with SIGKILL, N times the broker; every fifth of these
kills takes both at once. Then the source runs to its end, and the books are closed:

    written            events whose transaction was committed to the spool
    arrived            different events that the subscriber got; duplicates: deliveries beyond them
    lost               written events that never arrived, and inspected frames with a defect of which no event tells
    seq_gaps           numbers missing between the first and the last, or given twice
    status_violations  times that the retained status was wrong (alive while the process was dead, or the other way
                       round) for longer than will delay + 1.5 keep-alive, as a second, independent subscriber saw it
                       while the broker answered it. After every fifth death of the station alone it stays away until
                       `offline` is heard or that time is over.

Two things no station can do, so they are not asked of it. What a broker has confirmed and holds in memory for a
subscriber that is away dies with the broker: it is killed only while the subscriber has its session. And a broker that
comes back knows no will: a station that dies before it is connected again has no `offline`, its status only expires, so
a death that waits for `offline` comes after the station's first word to the present broker.
Exit code 1 when something was lost, is missing in the sequence, or the status was wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from station_parts.account import account
from station_parts.broker import Listener, Mosquitto
from station_parts.process import KEEP_ALIVE, STATION, WILL_DELAY, start_station
from station_parts.source import Journal, defective
from station_parts.status_judge import StatusJudge

from edge_runtime.mqtt.spool.spool import Spool
from latentline.errors import LatentlineError, run_command

_LIMIT = WILL_DELAY + 1.5 * KEEP_ALIVE  # seconds that a status may be wrong
_PATIENCE = 60.0  # seconds without any progress
_SIZE = (48, 64)  # pixels
_EVERY = 5  # of the kills takes both; of the deaths of the station alone lasts until `offline`


class Chaos:
    """One run in `folder`."""

    def __init__(self, folder: Path, kills: int, frames: int, seed: int) -> None:
        self._folder, self._frames = folder, frames
        self._random = random.Random(seed)
        both = max(1, kills // _EVERY) if kills else 0
        self._victims = ["both"] * both + ["station", "broker"] * (kills - both)
        self._random.shuffle(self._victims)
        # A life lasts a second at most behind the frame that it waits for: so the source outlasts the kills.
        self._rate = 0.8 * frames / max(1, len(self._victims))
        self._broker = Mosquitto(folder / "broker")
        self._broker.start()
        self.deliveries: list[dict[str, Any]] = []
        self.judge = StatusJudge(_LIMIT)
        topic, port = f"latentline/{STATION}/v1/", self._broker.port
        self._subscriber = Listener(
            port, "consumer", f"{topic}cam/+/defect", lambda event, _retained: self.deliveries.append(event)
        )
        self._watcher = Listener(
            port,
            "watcher",
            f"{topic}status",
            self._heard,
            lambda: self.judge.heard(None, time.monotonic()),
        )
        self._connected = threading.Event()  # this life of the station has spoken to this life of the broker
        self._station: subprocess.Popen[bytes] | None = None
        self.kills = {"station": 0, "broker": 0, "both": 0}
        self._deaths_alone = 0

    def run(self) -> None:
        """Kill, start again, and at last let the source run to its end and the spool run empty."""
        self._begin_station()
        for number, victim in enumerate(self._victims):
            self._wait_for_moment(self._frames * (number + 1) / (len(self._victims) + 1))
            self._kill(victim)
        self._run_out()
        self.judge.finish(time.monotonic())

    def books(self) -> dict[str, Any]:
        """What was written, arrived and went missing. The station has ended."""
        spool = Spool(self._folder / "spool.sqlite", 10**9)
        written = spool.last_seq
        spool.close()
        defects = [number for number in Journal.read(self._folder / "journal") if defective(number)]
        closed = account(written, defects, self.deliveries)
        return {**asdict(closed), "status_violations": len(self.judge.violations), "kills": self.kills}

    def close(self) -> None:
        """End every process."""
        if self._station is not None:
            self._station.kill()
            self._station.wait()
        self._subscriber.close()
        self._watcher.close()
        self._broker.stop()

    def _wait_for_moment(self, frames: float) -> None:
        """Half of the kills come when about so many frames are done, half within the first second of a new life."""
        if self._random.random() < 0.5:
            self._wait(lambda: self._done >= frames, f"frame {frames:.0f}")
        time.sleep(self._random.random())

    def _kill(self, victim: str) -> None:
        self.kills["both"] += victim == "both"
        self._deaths_alone += victim == "station"
        stays_away = victim == "station" and self._deaths_alone % _EVERY == 1
        if stays_away:
            self._wait(self._connected.is_set, "the station's first word")
        if victim != "broker":
            self._kill_station()
        if victim != "station":
            self._kill_broker()
        if stays_away:
            self._wait_for_offline()
        if victim != "broker":
            self._begin_station()

    def _kill_station(self) -> None:
        assert self._station is not None
        self._check_station()
        self.kills["station"] += self._station.poll() is None
        self._station.kill()
        self._station.wait()
        self.judge.process(alive=False, at=time.monotonic())

    def _kill_broker(self) -> None:
        clients = (self._subscriber, self._watcher)
        ended = [client.ended for client in clients]
        self._broker.kill()
        self._connected.clear()
        for client, before in zip(clients, ended, strict=True):
            client.wait_lost(before + 1)
        self._broker.start()
        for client, before in zip(clients, ended, strict=True):
            client.wait_connected(before + 2)
        self.kills["broker"] += 1

    def _heard(self, status: dict[str, Any], retained: bool) -> None:
        self.judge.heard(status["state"], time.monotonic())
        if not retained and status["state"] != "offline":
            self._connected.set()

    def _wait_for_offline(self) -> None:
        """Give the broker the time to say so; the judge counts when it does not."""
        deadline = time.monotonic() + _LIMIT + 1.0
        while self.judge.state in ("starting", "online", "degraded") and time.monotonic() < deadline:
            time.sleep(0.01)

    def _run_out(self) -> None:
        """Let the station end by itself, as often as it takes to empty the spool."""
        while True:
            assert self._station is not None
            self._wait(lambda: self._station is None or self._station.poll() is not None, "the end of the source")
            self.judge.process(alive=False, at=time.monotonic())
            self._check_station()
            spool = Spool(self._folder / "spool.sqlite", 10**9)
            waiting, written = len(spool), spool.last_seq
            spool.close()
            if not waiting:
                break
            self._begin_station()
        deadline = time.monotonic() + _PATIENCE
        while len({event["seq"] for event in self.deliveries}) < written and time.monotonic() < deadline:
            time.sleep(0.05)

    def _begin_station(self) -> None:
        self._connected.clear()
        self._station = start_station(self._folder, self._broker.port, self._frames, self._rate, _SIZE)
        self.judge.process(alive=True, at=time.monotonic())

    @property
    def _done(self) -> int:
        journal = self._folder / "journal"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def _check_station(self) -> None:
        """A station that ended by itself must have ended well."""
        assert self._station is not None
        if self._station.poll() not in (None, 0):
            log = (self._folder / "station.log").read_text(errors="replace")
            raise LatentlineError(f"the station ended by itself with {self._station.poll()}: …{log[-2000:]}")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait as long as frames are being done."""
        done, deadline = self._done, time.monotonic() + _PATIENCE
        while not condition():
            self._check_station()
            if self._done > done:
                done, deadline = self._done, time.monotonic() + _PATIENCE
            if time.monotonic() > deadline:
                raise LatentlineError(
                    f"no progress for {_PATIENCE:g} s while waiting for {what}; {done} frames are done"
                )
            time.sleep(0.01)


def main() -> int:
    """Run, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of the station, and of the broker (default: 50)")
    parser.add_argument("--frames", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return run_command(lambda: _run(options, Path(folder)))


def _run(options: argparse.Namespace, folder: Path) -> int:
    begin = time.monotonic()
    chaos = Chaos(folder, options.kills, options.frames, options.seed)
    try:
        chaos.run()
    finally:
        chaos.close()
    figures = {**chaos.books(), "seconds": round(time.monotonic() - begin, 1)}
    for violation in chaos.judge.violations:
        print(f"status: {violation}", file=sys.stderr)
    print(json.dumps(figures) if options.json else _table(figures, chaos.judge.longest))
    return 1 if figures["lost"] or figures["seq_gaps"] or figures["status_violations"] else 0


def _table(figures: dict[str, Any], longest_wrong: float) -> str:
    kills = figures["kills"]
    lines = [
        f"kills              {kills['station']} station, {kills['broker']} broker, {kills['both']} of them at once"
    ]
    names = ("written", "arrived", "lost", "duplicates", "seq_gaps", "status_violations")
    lines += [f"{name:18} {figures[name]}" for name in names]
    lines += [f"status was wrong   {longest_wrong:.1f} s at a stretch at most; {_LIMIT:g} s are allowed"]
    return "\n".join([*lines, f"{'seconds':18} {figures['seconds']}"])


if __name__ == "__main__":
    sys.exit(main())

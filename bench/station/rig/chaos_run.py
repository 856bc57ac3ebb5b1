"""A station and its broker that are killed at random moments and started again, and what the subscribers see of it."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.station.rig.broker import KillableBroker
from bench.station.rig.connected import ConnectedStation
from bench.station.rig.deliveries import count_deliveries
from bench.station.rig.process import FRAME_LOG, KEEP_ALIVE, STATION, STATION_LOG, WILL_DELAY, start_station
from bench.station.rig.source import FrameLog, defective
from bench.station.rig.spool_harm import SpoolHarm
from bench.station.rig.status_check import StatusChecker
from bench.station.rig.subscriber import SessionSubscriber
from latentline.errors import LatentlineError

ALLOWED_WRONG = WILL_DELAY + 1.5 * KEEP_ALIVE  # seconds that a status may be wrong
_PATIENCE = 60.0  # seconds without any progress
_SIZE = (48, 64)  # pixels
_WAITING = 40  # frames at most while events wait for the broker
_CATCH_UP = 5.0  # seconds at most until the events have arrived, before the broker is killed
_ON_THE_WAY = 1  # events that may be, then
_EVERY = 5  # every fifth kill takes both; every fifth death of the station alone lasts until `offline`


class ChaosRun:
    """One run in `folder`. Its exit ends all processes.

    kills     of the station, and as many of the broker
    harms     how often each of HARMS is done
    repaired  each harm waits until the station is connected, and so has repaired what the last one did
    """

    def __init__(
        self, folder: Path, kills: int, frames: int, seed: int, harms: Mapping[str, int], *, repaired: bool = False
    ) -> None:
        self._folder, self._frames, self._repaired = folder, frames, repaired
        self._random = random.Random(seed)
        both = max(1, kills // _EVERY) if kills else 0
        self._victims = ["both"] * both + ["station", "broker"] * (kills - both)
        self._victims += [harm for harm, count in harms.items() for _ in range(count)]
        self._random.shuffle(self._victims)
        self._harm = SpoolHarm(folder, self._random)
        # A station lives at most a second longer than its kill waits for a frame, so the source outlasts the kills.
        self._rate = 0.8 * frames / max(1, len(self._victims))
        self._connected = ConnectedStation()
        self._station: subprocess.Popen[bytes] | None = None
        self._deaths_alone = 0
        self._deliveries: list[dict[str, Any]] = []
        self._kills = {"station": 0, "broker": 0, "both": 0}
        self._harms = dict.fromkeys(HARMS, 0)
        self.status = StatusChecker(ALLOWED_WRONG)
        self._cleanup = ExitStack()
        self._broker = KillableBroker(folder / "broker")

    def __enter__(self) -> ChaosRun:
        with ExitStack() as stack:
            stack.callback(self._broker.stop)
            self._broker.start()
            topic, port = f"latentline/{STATION}/v1/", self._broker.port
            self._subscriber = SessionSubscriber(
                port, "consumer", f"{topic}cam/+/defect", lambda event, _retained: self._deliveries.append(event)
            )
            stack.callback(self._subscriber.close)
            self._watcher = SessionSubscriber(
                port,
                "watcher",
                f"{topic}status",
                self._status_received,
                lambda: self.status.status_received(None, time.monotonic()),
            )
            stack.callback(self._watcher.close)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if self._station is not None:
            self._station.kill()
            self._station.wait()
        self._cleanup.close()

    def run(self) -> None:
        """Kill and restart, then let the source run to its end and the spool run empty."""
        self._start_station()
        for number, victim in enumerate(self._victims):
            self._wait_for_moment(self._frames * (number + 1) / (len(self._victims) + 1))
            if victim in HARMS:
                self._harms[victim] += 1
                if self._repaired:
                    self._wait(lambda: self._connected.is_set() or self._station_ended(), "a connected station")
                HARMS[victim](self)
            else:
                self._kill(victim)
        self._run_to_the_end()
        self.status.finish(time.monotonic())

    def figures(self) -> dict[str, Any]:
        """Counts of events, status violations and kills. The station has ended."""
        written = self._read_spool()[1]
        defects = [number for number in FrameLog.read(self._folder / FRAME_LOG) if defective(number)]
        dead = self._harm.dead_letters()
        skipped = self._harm.skipped()
        counts = count_deliveries(written, defects, self._deliveries, dead | skipped)
        arrived = {event["seq"] for event in self._deliveries}
        silent = set(range(1, written + 1)) - arrived - dead - skipped - self._harm.said_lost()
        return {
            **asdict(counts),
            "dead": len(dead),
            "skipped": len(skipped - arrived),
            "unsaid": len(silent) + self._harm.unsaid,
            "removals_under_open_spool": self._harm.must_say,
            "removal_said_after": round(self._harm.longest, 2),
            "status_violations": len(self.status.violations),
            "kills": self._kills,
            "harms": self._harms,
        }

    def _wait_for_moment(self, frames: float) -> None:
        """Half of the kills come after frame number `frames`, half within the first second of a new process."""
        if self._random.random() < 0.5:
            self._wait(lambda: self._done >= frames, f"frame {frames:.0f}")
        time.sleep(self._random.random())

    def flip(self) -> None:
        """Kill the station and flip a bit in its spool; every second time while the broker is away and events wait."""
        away = self._random.random() < 0.5
        if away:
            self._wait_for_deliveries()
            self._kill_broker()
            enough = min(self._done + self._random.randrange(1, _WAITING), self._frames - _WAITING)
            self._wait(lambda: self._done >= enough or self._station_ended(), "events that wait")
        self._kill_station()
        self._harm.flip()
        self._start_station()
        if away:
            self._start_broker()

    def remove(self) -> None:
        """Remove a file of the spool under the station. If it has opened the spool, it must say so."""
        self._harm.remove(must_say=self._connected.is_set() and not self._station_ended())

    def poison(self) -> None:
        """Kill the station and let it find an event that can never be delivered."""
        self._kill_station()
        self._harm.poison()
        self._start_station()

    def _kill(self, victim: str) -> None:
        self._kills["both"] += victim == "both"
        self._deaths_alone += victim == "station"
        stays_away = victim == "station" and self._deaths_alone % _EVERY == 1
        if stays_away:
            self._wait(self._connected.is_set, "the first status of the station")
        if victim != "station":
            self._wait_for_deliveries()
        if victim != "broker":
            self._kill_station()
        if victim != "station":
            self._kill_broker()
            self._start_broker()
        if stays_away:
            self._wait_for_offline()
        if victim != "broker":
            self._start_station()

    def _kill_station(self) -> None:
        assert self._station is not None
        self._check_station()
        self._kills["station"] += self._station.poll() is None
        self._station.kill()
        self._station.wait()
        self.status.process_changed(alive=False, at=time.monotonic())

    def _kill_broker(self) -> None:
        ended = [client.ended for client in self._clients]
        self._broker.kill()
        self._connected.lost()
        for client, before in zip(self._clients, ended, strict=True):
            client.wait_lost(before + 1)
        self._kills["broker"] += 1

    def _start_broker(self) -> None:
        subscribed = [client.subscribed for client in self._clients]
        self._broker.start()
        for client, before in zip(self._clients, subscribed, strict=True):
            client.wait_subscribed(before + 1)

    @property
    def _clients(self) -> tuple[SessionSubscriber, SessionSubscriber]:
        return self._subscriber, self._watcher

    def _status_received(self, status: dict[str, Any], retained: bool) -> None:
        self.status.status_received(status["state"], time.monotonic())
        self._connected.status_received(status, retained=retained)

    def _wait_for_deliveries(self) -> None:
        """Wait until hardly an event is on its way: a broker that is killed amid many takes some along."""
        deadline = time.monotonic() + _CATCH_UP
        while self._behind() > _ON_THE_WAY and time.monotonic() < deadline and not self._station_ended():
            time.sleep(0.01)

    def _behind(self) -> int:
        """How many of the events about frames have not arrived."""
        arrived = {int(event["frame"]["source"]) for event in list(self._deliveries)}
        return sum(defective(number) and number not in arrived for number in FrameLog.read(self._folder / FRAME_LOG))

    def _wait_for_offline(self) -> None:
        """Wait as long as the broker may take to publish the will. The checker counts when it takes longer."""
        deadline = time.monotonic() + ALLOWED_WRONG + 1.0
        while self.status.state in ("starting", "online", "degraded") and time.monotonic() < deadline:
            time.sleep(0.01)

    def _run_to_the_end(self) -> None:
        """Let the station end by itself, and start it again until the spool is empty."""
        while True:
            self._wait(self._station_ended, "the end of the source")
            self.status.process_changed(alive=False, at=time.monotonic())
            self._check_station()
            waiting, written = self._read_spool()
            if not waiting:
                break
            self._start_station()
        deadline = time.monotonic() + _PATIENCE
        arriving = written - len(self._harm.dead_letters() | self._harm.skipped() | self._harm.said_lost())
        while len({event["seq"] for event in self._deliveries}) < arriving and time.monotonic() < deadline:
            time.sleep(0.05)

    def _start_station(self) -> None:
        self._station = start_station(self._folder, self._broker.port, self._frames, self._rate, _SIZE)
        self._connected.started(self._station.pid)
        self.status.process_changed(alive=True, at=time.monotonic())

    def _read_spool(self) -> tuple[int, int]:
        """How many events wait in the spool, and how many were ever written. No station is running."""
        with self._harm.opened() as spool:
            return len(spool), spool.last_seq

    @property
    def _done(self) -> int:
        return FrameLog.count(self._folder / FRAME_LOG)

    def _station_ended(self) -> bool:
        return self._station is None or self._station.poll() is not None

    def _check_station(self) -> None:
        """Raise LatentlineError when the station ended by itself with a fault."""
        assert self._station is not None
        if self._station.poll() not in (None, 0):
            log = (self._folder / STATION_LOG).read_text(errors="replace")
            raise LatentlineError(f"the station ended by itself with {self._station.poll()}: …{log[-2000:]}")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for `condition` as long as the station makes progress."""
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


# What may happen besides kills, by name; chaos.py has an option for each.
HARMS: Mapping[str, Callable[[ChaosRun], None]] = {
    "flips": ChaosRun.flip,
    "removals": ChaosRun.remove,
    "poison": ChaosRun.poison,
}

"""Is an event ever lost? A station and its broker are killed at random moments and started again.

python -m bench.station.chaos [--kills N] [--flips N] [--removals N] [--poison N] [--repaired]
                              [--blips N] [--poison-pictures N] [--thread-failures SHARE]
                              [--frames N] [--seed N] [--json]

A station with a source that loses no frame (two of three frames show a defect), a mosquitto that keeps everything on
disk, and a subscriber with a session. The station is killed N times with SIGKILL, and so is the broker; every fifth
kill takes both at once. With --flips the station is killed and one random bit of a random file of its spool is changed,
every second time while events wait for the broker; with --removals a file of the spool is removed while the station
runs; with --poison the station is killed and finds an event that can never be delivered. Half of all this comes within
the first second of a process, so a second harm may come before the first one was repaired; with --repaired it does not.
With --thread-failures a share of all threads cannot be started. Then the source runs to its end. The table shows

    written            events whose transaction was committed to the spool
    arrived            different events that the subscriber received; duplicates are repeated deliveries
    lost               written events that never arrived, and inspected frames with a defect but without an event. Only
                       two harms without a repair between them can lose one: both copies of it are gone. It counts
                       twice then, as a number and as a frame
    dead               dead letters: poison events
    skipped            numbers that the station did not use, because all that knew the last one was gone
    unsaid             numbers that neither arrived nor are named as lost by the station's log, and removals under a
                       connected station that it did not say within a second
    seq_gaps           numbers missing between the first and the last, or given to two events
    status_violations  how often the retained status was wrong (alive when the process was dead, or dead when it was
                       alive) for longer than will delay + 1.5 keep-alive, seen by a second subscriber while it was
                       connected. After every fifth death of the station alone, the station stays away until the broker
                       publishes `offline` or that time is over

With --blips or --poison-pictures a second station then watches a folder that vanishes, or gets pictures that kill it.
Its own figures: `lost` pictures without an event, `repeated` events about pictures that were inspected before, beyond
those in work at a death, and `unsaid` harms that no reason of the status named.

Two things no station can ensure, so the bench does not ask for them. Messages that the broker has confirmed and holds
in memory die with the broker, also some of a burst that it is just sending; it is killed only while the subscriber is
connected and has received all but one of the events about frames, as far as that comes within five seconds. And a
broker that restarts has forgotten the will: a station that dies before it connects again gets no `offline`, its status
only expires. So a death that waits for `offline` comes after the station's first status to the running broker.

The exit code is 1 when something was not said or the status was wrong for too long; with --repaired, and without flips
and removals, also when an event was lost or a number is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.command_line import bench_parser
from bench.station.rig.chaos_run import ALLOWED_WRONG, HARMS, ChaosRun
from bench.station.rig.folder_chaos import FolderChaos
from bench.station.rig.process import STATION_LOG
from bench.station.rig.thread_failures import refused_threads, thread_failures
from bench.termination import exit_on_sigterm
from latentline.errors import run_command


def main() -> int:
    """Run, count and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of the station, and of the broker (default: 50)")
    parser.add_argument("--flips", type=int, default=0, help="flipped bits in files of the spool (default: none)")
    parser.add_argument("--removals", type=int, default=0, help="removed files of the spool (default: none)")
    parser.add_argument("--poison", type=int, default=0, help="events that can never be delivered (default: none)")
    parser.add_argument("--repaired", action="store_true", help="harm no spool before the last harm was repaired")
    parser.add_argument("--frames", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--blips", type=int, default=0, help="of a watched folder (default: none)")
    parser.add_argument("--poison-pictures", type=int, default=0, help="that kill the station (default: none)")
    parser.add_argument(
        "--thread-failures", type=float, default=0.0, metavar="SHARE", help="of thread starts that fail (default: none)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    with exit_on_sigterm(), tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return run_command(lambda: _run(options, Path(folder)))


def _run(options: argparse.Namespace, folder: Path) -> int:
    begin = time.monotonic()
    harms = {name: getattr(options, name) for name in HARMS}
    run = ChaosRun(folder, options.kills, options.frames, options.seed, harms, repaired=options.repaired)
    with run as chaos, thread_failures(options.thread_failures):
        chaos.run()
    pictures = _watch_a_folder(options, folder / "watched")
    refused = refused_threads(folder / STATION_LOG)
    figures = {
        **chaos.figures(),
        "thread_failures": refused,
        **({"folder": pictures} if pictures else {}),
        "seconds": round(time.monotonic() - begin, 1),
    }
    for violation in chaos.status.violations:
        print(f"status: {violation}", file=sys.stderr)
    print(json.dumps(figures) if options.json else _table(figures, chaos.status.longest))
    if any(pictures.get(name) for name in ("lost", "repeated", "unsaid")):
        return 1
    wrong = ["unsaid", "status_violations"]
    if options.repaired or not (options.flips or options.removals):
        wrong += ["lost", "seq_gaps"]
    return int(any(figures[name] for name in wrong))


def _watch_a_folder(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of a folder that vanishes and of poison pictures; empty when neither is asked for."""
    if not options.blips and not options.poison_pictures:
        return {}
    watched = FolderChaos(folder, options.blips, options.poison_pictures, options.seed)
    watched.run()
    return watched.figures()


def _table(figures: dict[str, Any], longest_wrong: float) -> str:
    kills = figures["kills"]
    lines = [
        f"kills              {kills['station']} station, {kills['broker']} broker, {kills['both']} of them at once"
    ]
    harms = figures["harms"]
    lines += [f"harms              {', '.join(f'{count} {name}' for name, count in harms.items())}"]
    names = ("written", "arrived", "lost", "unsaid", "dead", "skipped", "duplicates", "seq_gaps", "status_violations")
    lines += [f"{name:18} {figures[name]}" for name in names]
    lines += [f"status was wrong   for at most {longest_wrong:.1f} s without a break; {ALLOWED_WRONG:g} s are allowed"]
    lines += [f"folder: {name:10} {count}" for name, count in figures.get("folder", {}).items()]
    removals, longest = figures["removals_under_open_spool"], figures["removal_said_after"]
    lines += [f"removals           {removals} under a connected station, said after at most {longest} s"]
    lines += [f"thread failures    {figures['thread_failures']} starts of threads were refused"]
    return "\n".join([*lines, f"{'seconds':18} {figures['seconds']}"])


if __name__ == "__main__":
    sys.exit(main())

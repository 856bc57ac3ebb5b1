"""Did a subscriber receive every event of a station, and does every event fit its schema?

mosquitto_sub -V 5 -q 1 -t 'latentline/STATION/v1/#' -v > events.txt      (station with mqtt.results: true)
python -m bench.station.events events.txt [--plot latency.png]

Every defect event is validated against its JSON Schema. The table counts gaps in `seq` and different `event_id`s, and
shows the time of a frame.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bench.command_line import bench_parser
from latentline.errors import LatentlineError, run_command

SCHEMA = Path(__file__).parents[2] / "docs" / "mqtt" / "defect.schema.json"


def main() -> int:
    """Count and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("events", type=Path, help="output of mosquitto_sub -v")
    parser.add_argument("--plot", type=Path, help="write a histogram of the time of a frame")
    options = parser.parse_args()
    received = read_messages(options.events)
    events = [body for topic, body in received if topic.endswith("/defect")]
    results = [body for topic, body in received if topic.endswith("/result")]
    check_events(events, str(options.events))
    sequence = [event["seq"] for event in events]
    gaps = sorted(set(range(min(sequence), max(sequence) + 1)) - set(sequence)) if sequence else []
    times = np.array([sum(ms for name, ms in r["timings_ms"].items() if name != "wait") for r in results])
    print(f"status    {' -> '.join(body['state'] for topic, body in received if topic.endswith('v1/status'))}")
    print(f"results   {len(results)}, {sum(r['abnormal'] for r in results)} abnormal")
    print(f"events    {len(events)}, {len({e['event_id'] for e in events})} different, gaps in seq: {gaps or 'none'}")
    if len(times):
        print("ms/frame  p50 {:.0f}, p90 {:.0f}, p99 {:.0f}".format(*np.percentile(times, [50, 90, 99])))
    if options.plot:
        plot(times, options.plot)
    return 0


def read_messages(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Topics and bodies of the messages in `path`. Raises LatentlineError when it is not output of mosquitto_sub -v."""
    try:
        lines = [line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
        return [(topic, json.loads(payload)) for topic, payload in lines]
    except OSError as error:
        raise LatentlineError(f"{path}: cannot be read ({error.strerror}); give the output of mosquitto_sub") from None
    except ValueError as error:
        raise LatentlineError(f"{path}: not the output of mosquitto_sub -v with JSON messages: {error}") from None


def check_events(events: list[dict[str, Any]], source: str) -> None:
    """Raise LatentlineError for the first event that does not fit the schema."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for event in events:
        try:
            jsonschema.validate(event, schema)
        except jsonschema.ValidationError as error:
            name = event.get("event_id", "without event_id")
            raise LatentlineError(f"{source}: event {name} does not fit {SCHEMA.name}: {error.message}") from None


def plot(times: npt.NDArray[np.float64], path: Path) -> None:
    """Write a histogram of the times of frames, milliseconds."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.hist(times, bins=60)
    axes.set_xlabel("ms per frame in the station (preprocess, search, map, score)")
    axes.set_ylabel("frames")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(run_command(main))

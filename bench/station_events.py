"""What a subscriber received of a station, checked and counted.

mosquitto_sub -V 5 -q 1 -t 'latentline/STATION/v1/#' -v > events.txt      (station with mqtt.results: true)
python bench/station_events.py events.txt [--plot latency.png]

Every defect event is validated against its JSON Schema; `seq` must have no gap and `event_id` no double.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import jsonschema
import numpy as np
from matplotlib.figure import Figure

SCHEMA = Path(__file__).parents[1] / "docs" / "mqtt" / "defect.schema.json"


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=Path)
    parser.add_argument("--plot", type=Path, help="histogram of the time of a frame")
    options = parser.parse_args()
    lines = [line.split(" ", 1) for line in options.events.read_text(encoding="utf-8").splitlines()]
    received = [(topic, json.loads(payload)) for topic, payload in lines]
    events = [body for topic, body in received if topic.endswith("/defect")]
    results = [body for topic, body in received if topic.endswith("/result")]
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for event in events:
        jsonschema.validate(event, schema)
    sequence = [event["seq"] for event in events]
    gaps = sorted(set(range(min(sequence), max(sequence) + 1)) - set(sequence)) if sequence else []
    times = np.array([sum(ms for name, ms in r["timings_ms"].items() if name != "wait") for r in results])
    print(f"status    {' -> '.join(body['state'] for topic, body in received if topic.endswith('v1/status'))}")
    print(f"results   {len(results)}, {sum(r['abnormal'] for r in results)} abnormal")
    print(f"events    {len(events)}, {len({e['event_id'] for e in events})} different, gaps in seq: {gaps or 'none'}")
    if len(times):
        print("ms/frame  p50 {:.0f}, p90 {:.0f}, p99 {:.0f}".format(*np.percentile(times, [50, 90, 99])))
    if options.plot:
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        axes.hist(times, bins=60)
        axes.set_xlabel("ms per frame in the station (preprocess, search, map, score)")
        axes.set_ylabel("frames")
        figure.savefig(options.plot, dpi=100)


if __name__ == "__main__":
    main()

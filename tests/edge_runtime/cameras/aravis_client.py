"""Reads a GenICam camera in a process of its own, which has PyGObject on its path.

Argument: the settings as JSON. Prints a line of JSON for each frame (its shape, time and depth), each fault (its
sentence) and each new number of bad frames; at the end of standard input, the report of the camera.
"""

import json
import sys
import threading
from dataclasses import asdict

from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.settings.aravis import AravisSettings


def main() -> None:
    settings = AravisSettings.model_validate_json(sys.argv[1])
    feeds = Feeds([settings], lambda _code, sentence: _print({"fault": sentence}))
    ended = threading.Event()

    def wait_for_the_end_of_input() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end_of_input, daemon=True).start()
    feeds.start()
    bad = 0
    while not ended.is_set():
        if settings.trigger == "command":
            feeds.trigger()
        if (frame := feeds.get(0.05)) is not None:
            kind = str(frame.image.dtype), frame.bit_depth
            _print({"frame": frame.image.shape, "at": frame.captured_at.timestamp(), "depth": kind})
        if feeds.states()[settings.id].bad > bad:
            bad = feeds.states()[settings.id].bad
            _print({"bad": bad})
    feeds.close()
    _print({"report": asdict(feeds.states()[settings.id])})


def _print(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")  # in one call: faults come from another thread
    sys.stdout.flush()


main()

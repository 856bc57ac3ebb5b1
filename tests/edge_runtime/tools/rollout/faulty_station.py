"""A station on a machine whose arithmetic goes wrong after its start: python -m …faulty_station STATION.yaml"""

import sys
from typing import Any
from unittest.mock import patch

from edge_runtime.cli import main
from latentline.backends.openvino import searcher
from latentline.backends.selftest_check import check_selftest


def run() -> int:
    """What `latentline-edge run` does; the first model passes its self-test, those after it do not."""
    calls = []

    def check(step: Any, test: Any) -> float:
        calls.append(test)
        if len(calls) == 1:
            return check_selftest(step, test)
        return check_selftest(lambda *inputs: tuple(1.01 * output for output in step(*inputs)), test)

    with patch.object(searcher, "check_selftest", check):
        return main(["run", sys.argv[1]])


if __name__ == "__main__":
    sys.exit(run())

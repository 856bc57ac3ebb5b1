"""Opening and closing again and again keeps no memory; another thread is refused in a sentence."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bench.gpu.outcome import Outcome
from latentline.errors import BackendError
from tests.gpu.driver_checks.frames import UInt8, demo, tiled
from tests.gpu.driver_checks.rig import Rig

if TYPE_CHECKING:
    from latentline.backends.tensorrt.searcher import TensorRtSearcher

SETTLED = 2  # openings after which memory must not grow
DRIFT = 64  # MiB that may be lost between then and the end


def check(rig: Rig) -> Outcome:
    """Compare the free memory after each closing."""
    from latentline.backends.tensorrt.gpu.device import Device

    package = demo(2)
    frame = tiled(package, 2, 2)
    left: list[int | None] = []
    said = ""
    for opening in range(rig.count(12, 3)):
        with rig.opened(package) as searcher:
            searcher.reconstruct(frame)
            if opening == 0:
                said = _from_another_thread(searcher, frame)
        device = Device()
        with device.current():
            left.append(rig.free_mib())
        device.close()
    failures = []
    if "belongs to the thread" not in said:
        failures.append(f"another thread was not refused: {said or 'it got a result'}")
    settled, last = left[SETTLED], left[-1]
    if settled is not None and last is not None and settled - last > DRIFT:
        failures.append(f"{settled - last} MiB of the GPU's memory were not given back")
    return Outcome({"free MiB after each": left, "said to another thread": said}, failures)


def _from_another_thread(searcher: TensorRtSearcher, frame: UInt8) -> str:
    """What a searcher says to a thread that did not open it; empty: nothing."""
    said = []

    def use() -> None:
        try:
            searcher.reconstruct(frame)
        except BackendError as error:
            said.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    return "".join(said)

"""The same frame gives the same bits: again, in another searcher, and with mapped memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.gpu.outcome import Outcome
from edge_runtime.tools.doctor.conformance import example_frames
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.settings import Precision
from latentline.inspection.reconstructor import ReconstructedFrame
from tests.gpu.driver_checks.frames import UInt8, demo, same_bits
from tests.gpu.driver_checks.rig import Rig


def check(rig: Rig) -> Outcome:
    """Compare results bit by bit."""
    package = demo(rig.count(10, 2))
    cpu = OpenVinoSearcher(package, threads=1)
    try:
        frame = example_frames(package, cpu)["several tiles"]
    finally:
        cpu.close()
    found: dict[str, object] = {}
    failures = []
    for precision in rig.precisions:
        with rig.opened(package, precision) as searcher:
            first = searcher.reconstruct(frame)
            again = [searcher.reconstruct(frame) for _ in range(rig.count(30, 2))]
        if not all(same_bits(first, other) for other in again):
            failures.append(f"{precision}: the same frame gave other bits in the same searcher")
        second, calls = _fresh(rig, precision, frame)
        if not same_bits(first, second):
            failures.append(f"{precision}: the same frame gave other bits in another searcher")
        with _mapped_memory():
            mapped, mapped_calls = _fresh(rig, precision, frame)
        if not same_bits(first, mapped):
            failures.append(f"{precision}: the same frame gave other bits in mapped memory")
        found[precision] = {"host calls": calls, "host calls, memory mapped": mapped_calls}
    return Outcome(found, failures)


def _fresh(rig: Rig, precision: Precision, frame: UInt8) -> tuple[ReconstructedFrame, int]:
    """The frame in a searcher of its own, and the driver calls it takes."""
    with rig.opened(demo(rig.count(10, 2)), precision) as searcher:
        return searcher.reconstruct(frame), searcher.measure(frame).host_calls


@contextmanager
def _mapped_memory() -> Iterator[None]:
    """Let the GPU say that it shares the host's memory, as a Jetson's does: frames are then not copied."""
    from latentline.backends.tensorrt.gpu.device import Device

    opened = Device.__init__

    def integrated(self: Device, ordinal: int = 0) -> None:
        opened(self, ordinal)
        self.integrated = True

    Device.__init__ = integrated  # type: ignore[method-assign]
    try:
        yield
    finally:
        Device.__init__ = opened  # type: ignore[method-assign]

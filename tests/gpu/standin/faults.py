"""What a test can ask of the stand-in for TensorRT: to misbehave, and to tell what was done with it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Faults:
    """Read when they matter, so a test may set them at any time.

    refused_address  name of a tensor whose address is refused
    fails_to_execute  execute_async_v3 gives False
    works_on_the_host  on the emulation, an execution is host work, which no loop of a graph takes
    fails_to_load  deserialisation gives None
    fails_to_build  building gives None
    fails_to_build_after  how many engines can be built until then; None: any number
    refused_timings  a timing cache of that content does not fit
    no_gpu  a builder cannot be made
    builds  counts the builds; offered_timings: the timing caches that were offered
    """

    refused_address: str | None = None
    fails_to_execute: bool = False
    works_on_the_host: bool = False
    fails_to_load: bool = False
    fails_to_build: bool = False
    fails_to_build_after: int | None = None
    refused_timings: bytes | None = None
    no_gpu: bool = False
    builds: int = 0
    offered_timings: list[bytes] = field(default_factory=list)

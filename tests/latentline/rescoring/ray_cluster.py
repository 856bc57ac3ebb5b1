"""`python -m tests.latentline.rescoring.ray_cluster FOLDER PACKAGE OUT`: a Ray cluster of two CPUs.

It scores the pictures, loses its workers on the way, prints one line of JSON, and ends with its input. It is a process
of its own, because Ray leaves warnings about its children behind, and reads the token only when it is imported.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import ray

from latentline.errors import LatentlineError
from latentline.package.model_package import load_package
from latentline.rescoring.crew import BATCH, Batch
from latentline.rescoring.pictures import list_pictures
from latentline.rescoring.ray_crew import RayCrew
from latentline.rescoring.rescore import rescore


class _KilledRayCrew(RayCrew):
    """Loses every worker that is there, once, just before one of them is given a batch."""

    killed = False

    def give(self, batch: Batch) -> None:
        if not self.killed and batch.start >= 2 * BATCH:
            self.killed = True
            for place in self.places:
                os.kill(int(place.split()[2]), signal.SIGKILL)
        super().give(batch)


def _run(folder: Path, package: Path, out: Path) -> dict[str, object]:
    opened, pictures = load_package(package), list_pictures(folder)
    report = rescore(pictures, opened, out, lambda model: _KilledRayCrew(ray, model, folder, 2))
    try:
        rescore(pictures, opened, out.with_name("other"), lambda model: RayCrew(ray, model, folder / "elsewhere", 1))
    except LatentlineError as error:
        unseen = str(error)
    return {"address": ray.get_runtime_context().gcs_address, "retried": report.retried, "unseen": unseen}


if __name__ == "__main__":
    ray.init(num_cpus=2, object_store_memory=80 << 20, include_dashboard=False, log_to_driver=False)
    print(json.dumps(_run(*map(Path, sys.argv[1:]))), flush=True)
    sys.stdin.read()
    ray.shutdown()

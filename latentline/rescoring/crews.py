"""The crew that a command line asks for."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from latentline.backends.openvino.searcher import usable_cores
from latentline.rescoring.local_crew import LocalCrew
from latentline.rescoring.ray_crew import RayCrew, connect
from latentline.rescoring.rescore import OpenCrew


def crew_opener(arguments: argparse.Namespace, folder: Path, pictures: int) -> OpenCrew:
    """What opens the crew of `--workers` and `--ray`, for so many `pictures` in `folder`, an absolute path.

    Raises ConfigError when Ray is not installed, and WorkersError when the cluster cannot be used.
    """
    workers: int | None = arguments.workers
    if arguments.ray is None:
        return partial(LocalCrew, workers=min(workers or usable_cores(), pictures))
    return partial(RayCrew, connect(arguments.ray), folder=folder, workers=workers)

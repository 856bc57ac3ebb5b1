"""Choose the backend that searches."""

from __future__ import annotations

from typing import Literal

from edge_runtime.model_package import SearchModel
from edge_runtime.search.openvino_cpu import CpuSearcher
from latentline.searcher import Searcher

Backend = Literal["auto", "cpu"]


def open_searcher(model: SearchModel, backend: Backend = "auto", threads: int | None = None) -> Searcher:
    """A searcher for a package (or a model not yet calibrated), self-tested. "auto" is the fastest that works here.

    Raises PackageError when the model cannot be run.
    """
    return CpuSearcher(model, threads)

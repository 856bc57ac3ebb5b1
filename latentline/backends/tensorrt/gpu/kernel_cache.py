"""The compiled kernels, in the same cache as the engines."""

from __future__ import annotations

from functools import partial

from latentline.backends.settings import Precision
from latentline.backends.tensorrt.cache import EngineCache
from latentline.backends.tensorrt.gpu.nvrtc import LOOP, compile_kernels, source_hash


def cached_kernels(cache: EngineCache, compute_capability: tuple[int, int], precision: Precision) -> bytes:
    """kernels.cu compiled for this device: from the cache, or compiled now. Raises EngineError."""
    fingerprint = {
        "source": source_hash(),
        "compute capability": ".".join(map(str, compute_capability)),
        "precision": precision,
    }
    return cache.fetch(f"kernels.{precision}", fingerprint, partial(compile_kernels, compute_capability, precision))


def cached_loop(cache: EngineCache, compute_capability: tuple[int, int]) -> bytes:
    """loop.cu compiled for this device: from the cache, or compiled now. Raises EngineError, also for an old NVRTC."""
    fingerprint = {"source": source_hash(LOOP), "compute capability": ".".join(map(str, compute_capability))}
    return cache.fetch("loop", fingerprint, partial(compile_kernels, compute_capability, "fp32", name=LOOP))

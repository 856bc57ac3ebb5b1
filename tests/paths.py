"""Paths of files outside the tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
DEMO_MODEL = ROOT / "edge_runtime" / "tools" / "demo" / "model"
KERNELS = ROOT / "latentline" / "backends" / "tensorrt" / "gpu" / "kernels.cu"
LOOP = KERNELS.with_name("loop.cu")
FAKE_CUDA = ROOT / ".fake_cuda"  # build cache of the emulated driver

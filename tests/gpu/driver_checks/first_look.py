"""Frames of which only some tiles are searched: the tiles are the CPU's, and each is searched as it is alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from bench.gpu.outcome import Outcome
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.search.first_look import Float, Indices
from latentline.vision.tiles import TilePlan
from tests.gpu.driver_checks.frames import tiled
from tests.gpu.driver_checks.rig import Rig
from tests.packages import scored, tiny_model, write_random_package

SEARCHED = 5  # tiles of a frame
NEAR = 1e-3  # of the looks' largest: closer logits may change places


def check(rig: Rig) -> Outcome:
    """Compare choice and search in fp32, and report the time of a frame beside that of searching every tile."""
    rows: dict[str, object] = {}
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        whole = scored(write_random_package(Path(folder) / "package", tiny_model()), "feature", "loss")
        package = whole.with_tiles(SEARCHED)
        cpu = OpenVinoSearcher(package, threads=1)
        try:
            for side in (8, 40) if rig.emulation is None else (3,):
                frame = tiled(package, side, side)
                height, width, _ = frame.shape
                plan = TilePlan.cover(height, width, package.spec.tile_size, package.tiler.overlap)
                with rig.opened(package) as searcher:
                    found = searcher.reconstruct(frame)
                    assert found.searched is not None
                    own = searcher.search(plan.cut(frame, found.searched))
                    some = [searcher.measure(frame).device_ms for _ in range(rig.count(20, 1))]
                with rig.opened(whole) as searcher:
                    every = [searcher.measure(frame).device_ms for _ in range(rig.count(20, 1))]
                name = f"{side * side} tiles"
                rows[name] = {"device ms": float(np.median(some)), "device ms, all tiles": float(np.median(every))}
                if not _as_suspicious(cpu.look(frame).of_tiles(plan), found.searched):
                    failures.append(f"{name}: the GPU searched {found.searched.tolist()}, which look more normal")
                if own.loss is None or not np.array_equal(own.loss, found.tile_values["loss"]):
                    failures.append(f"{name}: a tile has another loss in the frame than alone")
        finally:
            cpu.close()
    return Outcome(rows, failures)


def _as_suspicious(logit: Float, chosen: Indices) -> bool:
    """Whether no tile that was left out looks less normal than a chosen one, beyond rounding."""
    left = np.delete(logit, chosen)
    return bool(logit[chosen].max() <= left.min() + NEAR * np.abs(logit).max())

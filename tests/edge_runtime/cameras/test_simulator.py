from __future__ import annotations

import numpy as np

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.settings.simulator import SimulatorSettings
from edge_runtime.cameras.simulator import SimulatorCamera


def _frames(seed: int, rate: float = 0.5) -> list[Frame]:
    settings = SimulatorSettings(
        kind="simulator", width=96, height=64, channels=3, fps=5000, frames=40, defect_rate=rate, seed=seed
    )
    camera = SimulatorCamera(settings)
    camera.open()
    return list(iter(lambda: camera.read(), None))  # a bound method would be the same


def test_frames_repeat_with_the_seed() -> None:
    """A seed gives the same frames in every run, another seed gives others; the input ends after `frames`."""
    first, again, other = _frames(1), _frames(1), _frames(2)
    assert len(first) == 40 and first[0].image.shape == (64, 96, 3) and first[0].image.dtype == np.uint8
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].image, other[0].image)


def test_defects_are_planted_at_the_rate() -> None:
    """About `defect_rate` of the frames have a defect, which stands out from the surface; at rate 0 none has."""
    frames = _frames(1)
    planted = [frame for frame in frames if "defect" in frame.source]
    assert 10 <= len(planted) <= 30
    assert not any("defect" in frame.source for frame in _frames(1, rate=0.0))
    plain = [float(np.ptp(frame.image.astype(int))) for frame in frames if "defect" not in frame.source]
    assert max(float(np.ptp(frame.image.astype(int))) for frame in planted) > max(plain)

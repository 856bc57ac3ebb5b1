"""Settings of the simulated camera."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_runtime.cameras.settings.common import CommonSettings


class SimulatorSettings(CommonSettings):
    """Synthetic frames, to try a station without a camera: a moving surface, now and then with a defect."""

    kind: Literal["simulator"]
    width: int = Field(default=640, ge=16, le=8192)
    """Frame width. [px]"""

    height: int = Field(default=480, ge=16, le=8192)
    """Frame height. [px]"""

    channels: Literal[1, 3] = 1
    """1 for grey frames, 3 for BGR."""

    fps: float = Field(default=10.0, gt=0, le=10_000)
    """Frame rate. [frames/s]"""

    defect_rate: float = Field(default=0.05, ge=0, le=1)
    """Fraction of the frames that show a defect."""

    frames: int | None = Field(default=None, ge=1)
    """The camera ends after this many frames. Unset: it never ends. [frames]"""

    seed: int = Field(default=0, ge=0)
    """Random seed; the same seed gives the same frames."""

    @property
    def live(self) -> bool:
        """Unless it has an end."""
        return self.frames is None

    @property
    def piles_up(self) -> bool:
        """A frame is made when it is read."""
        return False

    @property
    def shown(self) -> str:
        """A name that says that nothing of it is real."""
        return "simulated frames"

"""Settings that every kind of camera has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from edge_runtime.spelling import TOPIC_LEVEL
from latentline.base.strict_yaml import StrictModel


class CommonSettings(StrictModel):
    """Settings that every kind of camera has."""

    id: Annotated[str, TOPIC_LEVEL] = "main"
    """Name of the camera in topics, events, faults and logs: up to 64 letters, digits and `_ . -`."""

    every_frame: bool | None = None
    """True inspects every frame and lets the camera wait for the inspector. False inspects only the newest frame and
    drops the ones before it. Unset: true for folders, video files and triggered cameras, false for the others."""

    trigger: Literal["continuous", "command"] = "continuous"
    """`continuous` inspects whatever the camera gives. `command` inspects one frame for each MQTT command `capture`."""

    bit_depth: int | None = Field(default=None, ge=8, le=16)
    """Bits of the grey levels in 16-bit frames: 12 for a camera of 12 bits whose frames have 16. Unset: as the format
    says (GenICam `Mono12`, V4L2 `Y12`, PGM …), else as the model package says; then a frame with more bits than the
    model's is unusable. [bits]"""

    stall_seconds: float = Field(default=5.0, gt=0, le=3600)
    """When an open camera gives no frame for this long, the station abandons it and opens it again. [s]"""

    open_seconds: float = Field(default=15.0, gt=0, le=3600)
    """Longest time that opening the camera may take; a network stream may need several seconds. [s]"""

    reopen_seconds: float = Field(default=1.0, gt=0, le=3600)
    """First pause before the station opens a failed camera again. The pause doubles with each failure. [s]"""

    reopen_max_seconds: float = Field(default=30.0, gt=0, le=3600)
    """Longest pause between two attempts to open the camera. [s]"""

    late_seconds: float | None = Field(default=10.0, gt=0)
    """When verdicts come later than this after their frames, or frames of `every_frame` have waited for this long
    without a break, the station reports the fault `camera.ID.late`. `null`: never. [s]"""

    frozen_seconds: float | None = Field(default=60.0, gt=0)
    """When a live camera has given nothing but the same picture for this long, the station reports the fault
    `camera.ID.frozen`. `null`: never. [s]"""

    @field_validator("reopen_max_seconds")
    @classmethod
    def _pauses_grow(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("reopen_seconds", value):
            raise ValueError("must not be below reopen_seconds")
        return value

    @property
    def live(self) -> bool:
        """Whether the source has no end of its own, so that the station opens it again after a fault."""
        return True

    @property
    def keeps(self) -> bool:
        """Whether frames wait at the source until they are read, so that reading later loses nothing."""
        return False

    @property
    def piles_up(self) -> bool:
        """Whether frames pile up in a driver or a network while they are not read."""
        return self.live and not self.keeps

    @property
    def frozen_limit(self) -> float | None:
        """`frozen_seconds` where pictures come from a sensor; None: the source may well give one twice."""
        return self.frozen_seconds if self.live and not self.keeps else None

    @property
    def silent(self) -> bool:
        """Whether the source may give nothing for a long time without a fault."""
        return False

    @property
    def lossless(self) -> bool:
        """`every_frame`, or its default for this source."""
        return self.every_frame if self.every_frame is not None else self.keeps or self.trigger == "command"

    @property
    def shown(self) -> str:
        """Where the frames come from, for messages: without user, password or token."""
        return ""

    @property
    def secrets(self) -> set[str]:
        """Texts of the source that may appear in no message."""
        return set()

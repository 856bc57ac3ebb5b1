"""Settings of a GigE Vision or USB3 Vision camera."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from edge_runtime.cameras.settings.common import CommonSettings
from edge_runtime.spelling import spelled

_GENICAM = "a name of GenICam, of letters, digits and _"


class AravisSettings(CommonSettings):
    """A GigE Vision or USB3 Vision camera, read through Aravis. What is unset stays as the camera is set."""

    kind: Literal["aravis"]
    source: str | None = Field(default=None, min_length=1)
    """IP address of the camera, or its device id as `arv-tool-0.8` lists it. Unset: the first camera found."""

    width: int | None = Field(default=None, ge=16, le=65536)
    """Width of the region to read, from the left edge of the sensor. [px]"""

    height: int | None = Field(default=None, ge=16, le=65536)
    """Height of the region to read, from the top edge of the sensor. [px]"""

    pixel_format: Annotated[str, spelled(r"[A-Za-z0-9_]{3,40}", f"{_GENICAM}, such as Mono8")] | None = None
    """GenICam name of the pixel format, such as `Mono8`, `BayerRG8` or `BGR8`."""

    exposure_us: float | None = Field(default=None, gt=0)
    """Exposure time. [µs]"""

    gain: float | None = None
    """Gain, in the camera's own unit; for most cameras decibels. [dB]"""

    fps: float | None = Field(default=None, gt=0)
    """Frame rate of a free-running camera. [frames/s]"""

    hardware_trigger: Annotated[str, spelled(r"[A-Za-z0-9_]{1,40}", f"{_GENICAM}, such as Line1")] | None = None
    """Input of the camera that triggers each frame, such as `Line1`. Long silence is then no fault."""

    packet_size: int | None = Field(default=None, ge=220, le=16384)
    """GigE: size of a packet. Unset: the largest one that the network lets through. [bytes]"""

    packet_resend: bool = True
    """GigE: whether the station requests lost packets again."""

    buffers: int = Field(default=8, ge=2, le=256)
    """Frames that the driver can hold before the station reads them. [frames]"""

    @field_validator("hardware_trigger")
    @classmethod
    def _one_trigger(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("trigger") == "command":
            raise ValueError("a camera that commands trigger cannot have a hardware trigger too")
        return value

    @property
    def silent(self) -> bool:
        """While nothing passes its trigger."""
        return self.hardware_trigger is not None

    @property
    def lossless(self) -> bool:
        """By default every frame that a trigger took is inspected."""
        return self.every_frame if self.every_frame is not None else super().lossless or bool(self.hardware_trigger)

    @property
    def shown(self) -> str:
        """The device."""
        return self.source or "the first GigE or USB3 Vision camera"

"""The settings of a camera: what every kind has, and what only one kind has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from latentline.base.secrets import mask_credentials
from latentline.base.strict_yaml import StrictModel

CAMERA_ID = r"^[A-Za-z0-9_.-]{1,64}$"  # one MQTT topic level: no slash, wildcard or blank
_SECRET = re.compile(
    r"\b((?:user-pw|proxy-pw|password|passwd|pwd|passphrase|token)\s*=\s*)(\"[^\"]*\"|[^\s&'\"]+)", re.I
)
_Common = TypeVar("_Common", bound="CommonSettings")


class CommonSettings(StrictModel):
    """What every kind of camera has.

    id                  names the camera in topics, events, faults and logs
    every_frame         true: no frame is left out and the camera waits for the inspector; false: the newest frame
                        only; unset: true for folders, video files and triggered cameras, else false
    trigger             continuous: every frame counts; command: only those that a `capture` command asked for
    stall_seconds       a camera from which nothing comes for so long is stalled, left behind and opened anew
    open_seconds        the same for opening it; a network stream may take seconds to understand
    reopen_seconds      first pause before a camera that failed or stalled is opened again; doubles up to
                        reopen_max_seconds
    """

    id: str = Field(default="main", pattern=CAMERA_ID)
    every_frame: bool | None = None
    trigger: Literal["continuous", "command"] = "continuous"
    stall_seconds: float = Field(default=5.0, gt=0, le=3600)
    open_seconds: float = Field(default=15.0, gt=0, le=3600)
    reopen_seconds: float = Field(default=1.0, gt=0, le=3600)
    reopen_max_seconds: float = Field(default=30.0, gt=0, le=3600)

    @field_validator("reopen_max_seconds")
    @classmethod
    def _pauses_grow(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("reopen_seconds", value):
            raise ValueError("must not be below reopen_seconds")
        return value

    @property
    def live(self) -> bool:
        """Whether the source has no end of its own and is opened again after a fault."""
        return True

    @property
    def keeps(self) -> bool:
        """Whether frames wait at the source until they are read: nothing is lost by reading later."""
        return False

    @property
    def silent(self) -> bool:
        """Whether it may rightly give nothing for long."""
        return False

    @property
    def lossless(self) -> bool:
        """`every_frame`, or its default for this source."""
        return self.every_frame if self.every_frame is not None else self.keeps or self.trigger == "command"

    @property
    def shown(self) -> str:
        """Where the frames come from, for messages: without user, password or token."""
        return ""

    def at(self: _Common, base: Path) -> _Common:
        """These settings with relative paths taken from `base`."""
        return self


class DeviceSettings(CommonSettings):
    """A V4L2 or UVC device, e.g. a USB camera, through OpenCV.

    source         number, e.g. 0 for /dev/video0, or path; /dev/v4l/by-id/… stays the same camera at every start
    width, height  frame size to ask for, pixels; the camera may give another
    fps            frames per second to ask for
    fourcc         pixel format to ask for, e.g. MJPG where the cable is too slow for raw frames
    """

    kind: Literal["device"]
    source: Annotated[int, Field(strict=True, ge=0)] | Annotated[str, Field(pattern=r"^/dev/.+")]
    width: int | None = Field(default=None, ge=16, le=65536)
    height: int | None = Field(default=None, ge=16, le=65536)
    fps: float | None = Field(default=None, gt=0, le=10_000)
    fourcc: str | None = Field(default=None, pattern=r"^[A-Za-z0-9 ]{4}$")

    @property
    def shown(self) -> str:
        """The device."""
        return f"device {self.source}" if isinstance(self.source, int) else self.source


class StreamSettings(CommonSettings):
    """A network stream or a video file through OpenCV's FFmpeg.

    source  URL (rtsp, http, …; RTSP goes over TCP), or the path of a video file
    """

    kind: Literal["stream"]
    source: str = Field(min_length=1, repr=False)

    @property
    def network(self) -> bool:
        """Whether frames come over the network."""
        return "://" in self.source

    @property
    def live(self) -> bool:
        """A stream is; a file has an end."""
        return self.network

    @property
    def keeps(self) -> bool:
        """A file does."""
        return not self.network

    @property
    def shown(self) -> str:
        """The file, or the address."""
        return mask_source(self.source)

    def at(self, base: Path) -> StreamSettings:
        """A file's path starts at `base`."""
        return self if self.network else self.model_copy(update={"source": str(base / Path(self.source).expanduser())})


class PipelineSettings(CommonSettings):
    """A GStreamer pipeline through an OpenCV that was built with GStreamer, e.g. JetPack's.

    source  the pipeline as gst-launch-1.0 takes it; it ends in `appsink`
    """

    kind: Literal["pipeline"]
    source: str = Field(min_length=1, repr=False)

    @field_validator("source")
    @classmethod
    def _ends_in_a_sink(cls, source: str) -> str:
        if "appsink" not in source.rpartition("!")[2]:
            raise ValueError("the last element of the pipeline must be appsink, e.g. '… ! videoconvert ! appsink'")
        return source

    @property
    def shown(self) -> str:
        """The pipeline."""
        return mask_source(self.source)


class AravisSettings(CommonSettings):
    """A GigE Vision or USB3 Vision camera through Aravis.

    source             device id as `arv-tool-0.8` lists it, or its IP address; unset: the first one found
    width, height      size of the region to read, pixels, from the upper left corner; unset: as the camera is set
    pixel_format       e.g. Mono8, BayerRG8, BGR8; unset: as the camera is set
    exposure_us        exposure time, microseconds; unset: as the camera is set
    gain               in the camera's unit, mostly dB; unset: as the camera is set
    frame_rate         frames per second; unset: as the camera is set
    hardware_trigger   input that takes each frame, e.g. Line1; long silence is then no fault
    packet_size        GigE: bytes in a packet; unset: the largest that arrives
    packet_resend      GigE: ask again for packets that did not arrive
    buffers            frames that the driver may fill before they are read
    """

    kind: Literal["aravis"]
    source: str | None = Field(default=None, min_length=1)
    width: int | None = Field(default=None, ge=16, le=65536)
    height: int | None = Field(default=None, ge=16, le=65536)
    pixel_format: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]{3,40}$")
    exposure_us: float | None = Field(default=None, gt=0)
    gain: float | None = None
    frame_rate: float | None = Field(default=None, gt=0)
    hardware_trigger: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]{1,40}$")
    packet_size: int | None = Field(default=None, ge=220, le=16384)
    packet_resend: bool = True
    buffers: int = Field(default=8, ge=2, le=256)

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
        """What a trigger took is never left out by default."""
        return self.every_frame if self.every_frame is not None else super().lossless or bool(self.hardware_trigger)

    @property
    def shown(self) -> str:
        """The device."""
        return self.source or "the first GigE or USB3 Vision camera"


class FolderSettings(CommonSettings):
    """A folder that other software drops pictures into.

    source          the folder
    watch           true: wait for new pictures; false: inspect what is there and end
    settle_seconds  watched: a file is read when its size and time stood still for so long
    after           what becomes of an inspected picture. mark: its name, size and time are kept in `journal`, so that
                    a restart does not repeat it; move: it goes to the subfolder `processed`; delete; keep: nothing,
                    and a restart begins anew. Unset: mark when watched, else keep
    journal         for `mark`; unset: `.latentline-{id}.journal` in the folder
    """

    kind: Literal["folder"]
    source: Path
    watch: bool = False
    settle_seconds: float = Field(default=0.5, ge=0, le=3600)
    after: Literal["mark", "move", "delete", "keep"] | None = None
    journal: Path | None = None

    @field_validator("source")
    @classmethod
    def _a_path(cls, source: Path) -> Path:
        if ":/" in str(source):
            raise ValueError("kind 'folder' takes a path; use kind 'stream' for a URL")
        return source

    @field_validator("journal")
    @classmethod
    def _only_for_marks(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        after = info.data.get("after") or ("mark" if info.data.get("watch") else "keep")
        if value is not None and after != "mark":
            raise ValueError(f"a journal is only for after: mark, and here it is {after}")
        return value

    @property
    def live(self) -> bool:
        """A watched folder has no end."""
        return self.watch

    @property
    def keeps(self) -> bool:
        """Pictures wait."""
        return True

    @property
    def silent(self) -> bool:
        """While nobody drops a picture."""
        return self.watch

    @property
    def memory(self) -> Literal["mark", "move", "delete", "keep"]:
        """`after`, or its default."""
        return self.after or ("mark" if self.watch else "keep")

    @property
    def shown(self) -> str:
        """The folder."""
        return str(self.source)

    def at(self, base: Path) -> FolderSettings:
        """Folder and journal start at `base`."""
        paths = {"source": self.source, "journal": self.journal}
        at_base = {name: path and base / path.expanduser() for name, path in paths.items()}
        return self.model_copy(update=at_base)


class SimulatorSettings(CommonSettings):
    """Synthetic frames, for trying a station without a camera: a surface that moves by, now and then with a defect.

    width, height  of a frame, pixels
    channels       1 (grey) or 3 (BGR)
    fps            frames per second
    defect_rate    share of frames with a planted defect
    frames         end after so many; unset: never
    seed           the same seed gives the same frames
    """

    kind: Literal["simulator"]
    width: int = Field(default=640, ge=16, le=8192)
    height: int = Field(default=480, ge=16, le=8192)
    channels: Literal[1, 3] = 1
    fps: float = Field(default=10.0, gt=0, le=10_000)
    defect_rate: float = Field(default=0.05, ge=0, le=1)
    frames: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)

    @property
    def live(self) -> bool:
        """Unless it was told to end."""
        return self.frames is None

    @property
    def shown(self) -> str:
        """That nothing of it is real."""
        return "simulated frames"


CameraSettings = Annotated[
    DeviceSettings | StreamSettings | PipelineSettings | AravisSettings | FolderSettings | SimulatorSettings,
    Field(discriminator="kind"),
]


def mask_source(text: str) -> str:
    """`text` without user and password of URLs, and without what stands behind names like `password=` or `user-pw=`."""
    return _SECRET.sub(r"\1***", mask_credentials(text))

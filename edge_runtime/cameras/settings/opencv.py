"""Settings of the cameras that OpenCV reads: devices, streams and GStreamer pipelines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator

from edge_runtime.cameras.masking import mask_pipeline, mask_source, pipeline_secrets, source_secrets
from edge_runtime.cameras.settings.common import CommonSettings
from edge_runtime.spelling import spelled
from latentline.base.home import at

_NOT_IN_A_PASSWORD = re.compile(r"[/?#@\s]|[^\x00-\x7f]|%(?![0-9A-Fa-f]{2})")  # unless in percent code


class DeviceSettings(CommonSettings):
    """A USB or other V4L2 camera, read through OpenCV."""

    kind: Literal["device"]
    source: (
        Annotated[int, Field(strict=True, ge=0)]
        | Annotated[str, spelled("/dev/.+", "a device's number or path, as /dev/video0")]
    )
    """Number of the device (0 is `/dev/video0`) or its path. A path under `/dev/v4l/by-id/` names the same camera
    after every start."""

    width: int | None = Field(default=None, ge=16, le=65536)
    """Frame width to request; the camera may give another one. [px]"""

    height: int | None = Field(default=None, ge=16, le=65536)
    """Frame height to request; the camera may give another one. [px]"""

    fps: float | None = Field(default=None, gt=0, le=10_000)
    """Frame rate to request. [frames/s]"""

    fourcc: Annotated[str, spelled("[A-Za-z0-9 ]{4}", "four letters, digits or blanks, such as MJPG")] | None = None
    """Pixel format to request, four characters: `MJPG` where the cable is too slow for raw frames."""

    @property
    def shown(self) -> str:
        """The device."""
        return f"device {self.source}" if isinstance(self.source, int) else self.source


class StreamSettings(CommonSettings):
    """A network stream or a video file, read through OpenCV's FFmpeg."""

    kind: Literal["stream"]
    source: str = Field(min_length=1, repr=False)
    """URL of the stream (`rtsp://`, which runs over TCP, `http://`, …), or path or `file://` URL of a video file."""

    @field_validator("source")
    @classmethod
    def _a_whole_path(cls, source: str) -> str:
        if _is_file_url(source) and not re.match(r"file:(//(localhost)?)?/[^/]", source, re.IGNORECASE):
            raise ValueError("a file URL has three slashes and the whole path: file:///path/of/the/video.avi")
        return source

    @property
    def network(self) -> bool:
        """Whether frames come over the network."""
        return "://" in self.source and not _is_file_url(self.source)

    @property
    def path(self) -> str:
        """The path of the video file."""
        return unquote(urlsplit(self.source).path) if _is_file_url(self.source) else self.source

    @property
    def live(self) -> bool:
        """A stream is live; a file has an end."""
        return self.network

    @property
    def keeps(self) -> bool:
        """A file keeps its frames."""
        return not self.network

    @property
    def shown(self) -> str:
        """The file, or the address."""
        return mask_source(self.source if self.network else self.path)

    @property
    def hint(self) -> str:
        """What to look at when it does not open."""
        hint = "are the address, the user and the password right, and is it reachable?"
        credentials = self.source.partition("://")[2].rpartition("@")[0]
        if _NOT_IN_A_PASSWORD.search(credentials):
            hint += " Special characters of a password have to be in percent code, such as %40 for @"
        return hint

    @property
    def secrets(self) -> set[str]:
        """The address, where it has any, and their parts."""
        return source_secrets(self.source if self.network else self.path)

    def resolve_paths(self, base: Path) -> StreamSettings:
        """These settings with the path of a video file taken from `base`; a URL stays as it is."""
        return self if self.network else self.model_copy(update={"source": str(at(base, Path(self.path)))})


class PipelineSettings(CommonSettings):
    """A GStreamer pipeline, read through an OpenCV that was built with GStreamer, such as JetPack's."""

    kind: Literal["pipeline"]
    source: str = Field(min_length=1, repr=False)
    """The pipeline as `gst-launch-1.0` takes it. Its last element is `appsink`."""

    @field_validator("source")
    @classmethod
    def _ends_in_a_sink(cls, source: str) -> str:
        if "appsink" not in source.rpartition("!")[2]:
            raise ValueError("the last element of the pipeline must be appsink, e.g. '… ! videoconvert ! appsink'")
        return source

    @property
    def shown(self) -> str:
        """The pipeline."""
        return mask_pipeline(self.source)

    @property
    def secrets(self) -> set[str]:
        """The values that are not shown."""
        return pipeline_secrets(self.source)


def _is_file_url(source: str) -> bool:
    return source[:6].lower() == "file:/"

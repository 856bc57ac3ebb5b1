"""What the archive knows of one picture."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from edge_runtime.archive.label import FrameLabel

Why = Literal["abnormal", "near_threshold", "normal"]
MAP_FULL_SCALE = 16.0  # standard deviations of normal frames, white in the picture of an anomaly map
PICTURE_SUFFIXES = (".png", ".jpg")
_ID = re.compile(r"(\d{4})(\d\d)(\d\d)T\d{9}Z-[A-Za-z0-9_.-]{1,64}-[0-9a-f]{12}")


@dataclass(frozen=True)
class ArchivedVerdict:
    """One picture and what the station found in it: the content of the file beside the picture.

    id             time, camera, and a hash of content and source in one name, such as
                   20261128T101500125Z-top-0a1b2c3d4e5f; its files are called so
    event_id       of the event that was sent; None: none was
    captured_at    UTC in ISO 8601 with milliseconds
    source         as the frame's
    score, threshold, abnormal   the verdict; abnormal: the score was above the threshold of that time
    components     standardised, by name
    model, model_name            SHA-256 and name of the package that judged
    defects        bbox, area_px, peak, mean, polygon and source of each, as in an event
    width, height, channels      of the frame, pixels
    pixels         SHA-256 of the frame's pixels (`latentline.vision.content.pixel_hash`)
    why            why it is kept
    suffix         of the picture: .png or .jpg
    picture_sha256 of the picture's file, and its size in bytes
    size           of all its files together, bytes
    """

    id: str
    event_id: str | None
    captured_at: str
    camera: str
    source: str
    score: float
    threshold: float
    abnormal: bool
    components: Mapping[str, float]
    model: str
    model_name: str
    defects: tuple[Mapping[str, Any], ...]
    width: int
    height: int
    channels: int
    pixels: str
    why: Why
    suffix: str
    picture_sha256: str
    picture_bytes: int
    size: int

    @property
    def day(self) -> str:
        """UTC, such as 2026-11-28: the name of the folder of its files."""
        return self.captured_at[:10]

    def to_json(self) -> str:
        """The content of the file beside the picture."""
        return json.dumps({"schema_version": 1, **asdict(self)}, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ArchivedVerdict:
        """Raises ValueError for anything that `to_json` did not write."""
        content = json.loads(text)
        names = {field.name for field in fields(cls)}
        if not isinstance(content, dict) or content.pop("schema_version", None) != 1 or set(content) != names:
            raise ValueError("it is not the description of an archived picture")
        verdict = cls(**{**content, "defects": tuple(content["defects"])})
        if not is_frame_id(verdict.id) or verdict.suffix not in PICTURE_SUFFIXES:
            raise ValueError("it has a foreign name")
        return verdict


@dataclass(frozen=True)
class ArchivedFrame:
    """A picture of the archive with its label.

    label     None: nobody has labelled it
    disputed  people disagree about it: one said good, another defect
    """

    verdict: ArchivedVerdict
    label: FrameLabel | None
    disputed: bool

    @property
    def false_alarm(self) -> bool:
        """The station called it abnormal, and a person calls it good."""
        return self.verdict.abnormal and self.label is not None and self.label.verdict == "good"

    @property
    def missed(self) -> bool:
        """The station called it normal, and a person sees a defect."""
        return not self.verdict.abnormal and self.label is not None and self.label.verdict == "defect"


def is_frame_id(text: str) -> bool:
    """Whether `text` is the id of an archived picture, and so a safe file name."""
    return _ID.fullmatch(text) is not None


def day_of(frame_id: str) -> str:
    """The day folder of a frame's files. `frame_id` as `is_frame_id`."""
    return f"{frame_id[:4]}-{frame_id[4:6]}-{frame_id[6:8]}"

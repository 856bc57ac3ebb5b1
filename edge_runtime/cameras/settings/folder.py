"""Settings of a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from edge_runtime.cameras.settings.common import CommonSettings


class FolderSettings(CommonSettings):
    """A folder that other software writes pictures into."""

    kind: Literal["folder"]
    source: Path
    """The folder."""

    watch: bool = False
    """True waits for new pictures. False inspects the pictures that are there and ends."""

    settle_seconds: float = Field(default=0.5, ge=0, le=3600)
    """A watched picture is read when it has not changed for this long; one with zeros where pixels may be missing, and
    one that never rests, after four times as long. 0 suits software that renames finished files into the folder. [s]"""

    after: Literal["mark", "move", "delete", "keep"] | None = None
    """What the station does with an inspected picture. `mark` notes it in the journal, so that a restart does not
    repeat it; `move` puts it into the subfolder `processed`; `delete` removes it; `keep` does nothing, so a restart
    inspects it again. Unset: `mark` in a watched folder, else `keep`."""

    journal: Path | None = None
    """File for `after: mark`, with name, size, times and digest of each inspected picture. Unset: beside the spool,
    with `.{id}.journal` for its suffix. Do not put it into the folder, which may vanish."""

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
        """While nobody writes a picture."""
        return self.watch

    @property
    def memory(self) -> Literal["mark", "move", "delete", "keep"]:
        """`after`, or its default."""
        return self.after or ("mark" if self.watch else "keep")

    @property
    def shown(self) -> str:
        """The folder."""
        return str(self.source)

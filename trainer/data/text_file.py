"""Text files that people bring: UTF-8, or UTF-16 as spreadsheets and editors of Windows write it."""

from __future__ import annotations

from pathlib import Path

from latentline.errors import DatasetError


def read_text(path: Path, setting: str) -> str:
    """The text at `path`, without a byte order mark. Raises DatasetError, which says to correct `setting`."""
    try:
        content = path.read_bytes()
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); correct {setting}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: cannot be read, for it is not UTF-8; save it so, or correct {setting}") from None

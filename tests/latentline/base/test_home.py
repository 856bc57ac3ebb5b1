"""Paths of settings files that were written on Windows."""

from pathlib import Path

import pytest

from latentline.base.home import at
from latentline.errors import ConfigError


def test_backslashes_separate_folders_unless_a_name_has_them(tmp_path: Path) -> None:
    """A file whose name holds a backslash is found, too."""
    assert at(tmp_path, Path(r"models\line.zip")) == tmp_path / "models" / "line.zip"
    assert at(tmp_path, Path(r".\line.zip")) == tmp_path / "line.zip"
    (tmp_path / r"models\line.zip").touch()
    assert at(tmp_path, Path(r"models\line.zip")) == tmp_path / r"models\line.zip"


def test_a_drive_of_windows_is_refused(tmp_path: Path) -> None:
    """Nothing here could be meant, so the sentence asks for a path of this machine."""
    with pytest.raises(ConfigError, match=r"C:\\models\\line\.zip: this is a path of a computer with Windows"):
        at(tmp_path, Path(r"C:\models\line.zip"))

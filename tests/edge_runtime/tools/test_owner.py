from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_runtime.tools.owner import refuse_root
from latentline.errors import ConfigError


def test_root_leaves_no_files_in_a_folder_of_the_stations_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The station could not read a file that root wrote for itself alone; the sentence says whose command it is."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, -1)
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ConfigError, match=r"belongs to user .*, and this is root, .*`sudo -u \S+` before the command"):
        refuse_root(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    refuse_root(tmp_path)


def test_a_folder_that_is_not_there_is_no_matter_of_its_owner(tmp_path: Path) -> None:
    """What is to be written there fails by itself, with a better sentence."""
    refuse_root(tmp_path / "nowhere")

"""What `check` says about the archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.tools.archive_check import check_archive


def test_a_folder_that_can_be_used_stays_as_it_is(tmp_path: Path) -> None:
    """A folder, or one that is still to be made, is fine, and nothing is left behind; no archive is no finding."""
    for path in (tmp_path, tmp_path / "a" / "b"):
        (finding,) = check_archive(ArchiveSection(path=path, min_free_mib=0))
        assert finding.ok
    assert list(tmp_path.iterdir()) == []
    assert list(check_archive(None)) == []


@pytest.mark.parametrize("trouble, sentence", [("file", "not a folder"), ("full", "make room")])
def test_what_keeps_a_station_from_archiving_is_said(tmp_path: Path, trouble: str, sentence: str) -> None:
    """A file in the place of the folder, and a disk without the room that must be left."""
    path = tmp_path / "a"
    if trouble == "file":
        path.write_text("mine")
    (finding,) = check_archive(ArchiveSection(path=path, min_free_mib=0 if trouble == "file" else 1 << 40))
    assert not finding.ok
    assert sentence in finding.message

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edge_runtime.cli import main
from tests.latentline.rescoring.pictures import write_pictures
from tests.paths import DEMO_MODEL

pytest.importorskip("pyarrow", reason="PYARROW IS MISSING: no table of scores was tested; install the extra `rescore`")


def _rescore(folder: Path, out: Path) -> int:
    return main(["rescore", str(folder), "--package", str(DEMO_MODEL), "--out", str(out), "--workers", "1", "--json"])


def test_the_command_writes_the_table_and_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One picture in a folder becomes a table and a report in JSON."""
    assert _rescore(write_pictures(tmp_path / "in", 1), tmp_path / "scores.parquet") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["pictures"], report["unreadable"]) == (1, 0)
    assert (tmp_path / "scores.parquet").exists()


@pytest.mark.parametrize("out", ["missing/scores.parquet", "in"])
def test_a_place_that_cannot_be_written_is_a_sentence(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of a user's mistake, before any picture is scored."""
    assert _rescore(write_pictures(tmp_path / "in", 1), tmp_path / out) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_without_pyarrow_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A station without the extra gets a sentence, before any picture is scored."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert _rescore(write_pictures(tmp_path / "in", 1), tmp_path / "scores.parquet") == 2
    assert "install the extra `rescore`" in capsys.readouterr().err

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_runtime.supervision.restart import RestartNeededError
from tests.paths import ROOT

_UNIT = ROOT / "configs" / "systemd" / "latentline.service"


@pytest.fixture(autouse=True)
def _systemd_analyze() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("SYSTEMD-ANALYZE IS MISSING: the unit was not checked; install the package `systemd`")


def _analyze(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def _copy(folder: Path, more: str = "") -> str:
    """The unit with a program that exists, which systemd-analyze requires."""
    copy = folder / _UNIT.name
    copy.write_text(_UNIT.read_text().replace("/opt/latentline/bin/latentline-edge", "/bin/true") + more)
    return str(copy)


def test_every_key_is_known(tmp_path: Path) -> None:
    """systemd accepts every section, key and value of the unit."""
    assert _analyze("verify", "--man=no", _copy(tmp_path)) == (0, "")


def test_a_misspelt_key_is_found(tmp_path: Path) -> None:
    """The check above notices a misspelt key."""
    _, output = _analyze("verify", "--man=no", _copy(tmp_path, "[Service]\nRestrat=always\n"))
    assert "Restrat" in output


def test_the_service_does_not_run_in_the_root_folder() -> None:
    """Relative names are taken from the station's own folder: from / they would reach every file of the machine."""
    assert "\nStateDirectory=latentline\n" in _UNIT.read_text()
    assert "\nWorkingDirectory=/var/lib/latentline\n" in _UNIT.read_text()


def test_the_service_is_restarted_when_the_station_asks_for_it() -> None:
    """Exit code 75 asks for a new process, so the unit must not take it, or any other code, for a good end."""
    lines = _UNIT.read_text().splitlines()
    assert RestartNeededError.exit_code == 75
    assert "Restart=always" in lines and "StartLimitIntervalSec=0" in lines
    keys = {line.partition("=")[0] for line in lines}
    assert not keys & {"RestartPreventExitStatus", "SuccessExitStatus", "RestartForceExitStatus"}


def test_unit_is_hardened(tmp_path: Path) -> None:
    """systemd rates the exposure of the service at 2.0 of 10 or below."""
    code, output = _analyze("security", "--no-pager", "--offline=true", "--threshold=20", _copy(tmp_path))
    if "--offline" in output:
        pytest.skip("SYSTEMD-ANALYZE IS TOO OLD: the unit's hardening was not rated; systemd 250 or newer does")
    assert code == 0, output

"""A station with trusted keys runs what they signed, goes forward, and goes back only where somebody says so on it."""

from __future__ import annotations

import shutil
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_runtime.cli import main
from edge_runtime.commands.actions import Result
from edge_runtime.commands.model_switch import ModelSwitch
from edge_runtime.commands.models import load_for_switch
from edge_runtime.commands.trust import ReleaseFile, Trust
from export.signing import make_key, sign_package
from latentline.backends.settings import GpuSettings
from latentline.errors import ConfigError, LatentlineError, PackageError
from latentline.model import open_model
from latentline.package.model_package import load_package
from tests.edge_runtime.fakes import station_data
from tests.packages import edit_manifest, write_tiny_package
from tests.waiting import wait_until

NOON = datetime(2026, 11, 5, 12, 0, tzinfo=timezone.utc)


class Site:
    """A folder of packages, a key, and the trust of a station in it."""

    def __init__(self, folder: Path, tiny: Path) -> None:
        self.folder, self._tiny = folder, tiny
        make_key(folder / "key.pem", None, None)
        self.public = folder / "key.pub.pem"
        self.file = ReleaseFile(folder / "spool.release.json")
        self.trust = Trust((self.public,), self.file)

    def package(self, name: str, release: int | None, key: Path | None = None) -> Path:
        """A package that differs from all others, signed as `release`, or not signed."""
        path = shutil.copytree(self._tiny, self.folder / "models" / name)
        edit_manifest(path, lambda manifest: manifest.update(name=name))
        if release is not None:
            sign_package(path, key or self.folder / "key.pem", None, release, NOON)
        return path

    def run(self, path: Path) -> None:
        """Admit a package, and use it."""
        self.trust.use(load_package(path, self.trust.admit).signature)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture
def site(tmp_path: Path, tiny: Path) -> Site:
    return Site(tmp_path, tiny)


def test_a_lower_release_is_refused(site: Site) -> None:
    """Also after a restart; the sentence names both releases and what lets the station go back."""
    site.run(site.package("old", 3))
    site.run(site.package("new", 5))
    site.run(site.package("newest", 6))
    again = Trust((site.public,), site.file)
    with pytest.raises(PackageError, match=r"old: release 3, and this station has accepted release 6.*lowest-release"):
        load_package(site.folder / "models" / "old", again.admit)
    site.file.set_lowest(3)
    load_package(site.folder / "models" / "old", again.admit)


def test_the_station_may_go_back_one_step(site: Site) -> None:
    """To what ran before the newest release, and again to the newest; the highest release stays."""
    old, bad = site.package("old", 3), site.package("bad", 5)
    for package in (old, bad, old, bad, old):
        site.run(package)
    site.run(site.package("good", 6))
    site.run(old)
    with pytest.raises(PackageError, match="release 5, and this station has accepted release 6"):
        site.run(bad)


def test_packages_of_one_release_take_turns(site: Site) -> None:
    """A line that changes between two products signs their packages with one number."""
    first, second = site.package("first", 4), site.package("second", 4)
    for package in (first, second, first, second):
        site.run(package)


def test_a_package_that_was_not_used_raises_nothing(site: Site) -> None:
    """One that failed its self-test leaves the station as free as it was."""
    site.run(site.package("old", 3))
    load_package(site.package("bad", 9), site.trust.admit)
    site.run(site.package("good", 4))


def test_a_key_that_has_ended_admits_nothing_new(site: Site) -> None:
    """What runs already may start again."""
    public = site.public
    public.write_bytes(b"Not-After: 2026-11-05\n" + public.read_bytes())
    running, new = site.package("running", 1), site.package("new", 2)
    last_day = Trust((public,), site.file, lambda: date(2026, 11, 5))
    next_day = Trust((public,), site.file, lambda: date(2026, 11, 6))
    last_day.use(load_package(running, last_day.admit).signature)
    load_package(running, next_day.admit)
    with pytest.raises(PackageError, match=r"key.pub.pem .*, which signed it, ended with 2026-11-05"):
        load_package(new, next_day.admit)


def test_a_replaced_key_is_a_fault_of_the_running_model(site: Site) -> None:
    """The station runs on and says that the next start will refuse the model."""
    site.run(site.package("running", 1))
    assert site.trust.fault() is None
    make_key(site.folder / "next.pem", None, None)
    (site.folder / "next.pub.pem").replace(site.public)
    assert "the next start refuses it" in str(site.trust.fault())


def test_without_trusted_keys_every_package_runs(site: Site) -> None:
    """And nothing is written."""
    trust = Trust((), site.file)
    trust.use(load_package(site.package("unsigned", None), trust.admit).signature)
    assert site.file.read() is None and trust.fault() is None


def test_a_broken_file_is_refused(site: Site) -> None:
    """Nobody forgets a release by damage; the sentence says how to go on."""
    package = site.package("old", 3)
    (site.folder / "spool.release.json").write_text("{")
    with pytest.raises(ConfigError, match=r"spool.release.json, which .*broken.; remove it and set"):
        load_package(package, site.trust.admit)


def _switched(switch: ModelSwitch, name: str) -> Result | LatentlineError:
    answers: list[Result | LatentlineError] = []
    switch.request(name, None, answers.append)
    wait_until(lambda: switch.run_pending() or answers, "the switch")
    return answers[0]


def test_a_switch_admits_what_is_signed(site: Site, tiny: Path) -> None:
    """Unsigned and foreign packages and old releases are refused by a command, and the old model stays."""
    make_key(site.folder / "foreign.pem", None, None)
    site.package("unsigned", None)
    site.package("foreign", 9, site.folder / "foreign.pem")
    site.package("new", 9)
    site.package("old", 8)
    saved: list[str] = []
    switch = ModelSwitch(
        site.folder / "models",
        open_model(tiny, "openvino"),
        lambda path: load_for_switch(path, "openvino", GpuSettings(), trust=site.trust),
        lambda name, _: saved.append(name),
    )
    assert "not signed" in str(_switched(switch, "unsigned"))
    assert "which is not trusted; trusted: key.pub.pem" in str(_switched(switch, "foreign"))
    assert isinstance(_switched(switch, "new"), dict)
    assert "model new stays" in str(_switched(switch, "old"))
    assert saved == ["new"]
    switch.close()


def _station(site: Site, model: Path) -> tuple[Path, dict[str, Any]]:
    data = station_data(site.folder, 1)
    data |= {"model": str(model), "commands": {"trusted_keys": [str(site.public)]}, "backend": "openvino"}
    path = site.folder / "station.yaml"
    path.write_text(yaml.safe_dump(data))
    return path, data


def test_a_start_refuses_what_is_not_signed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """With one sentence and exit code 2; `check` says the same."""
    path, _ = _station(site, site.package("unsigned", None))
    assert main(["run", str(path)]) == 2
    assert "unsigned: not signed, and only packages signed by key.pub.pem" in capsys.readouterr().err
    main(["check", str(path)])
    assert "FAILED model     " in (out := capsys.readouterr().out) and "not signed" in out


def test_an_engineer_says_on_the_station_what_is_the_lowest_release(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command shows it and sets it."""
    path, _ = _station(site, site.package("old", 3))
    site.run(site.package("new", 5))
    assert main(["run", str(path)]) == 2
    assert "old: release 3, and this station has accepted release 5" in capsys.readouterr().err
    assert main(["lowest-release", str(path)]) == 0
    assert "accepts: 5" in capsys.readouterr().out
    assert main(["lowest-release", str(path), "3"]) == 0
    load_package(site.folder / "models" / "old", site.trust.admit)

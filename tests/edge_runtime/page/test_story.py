"""The whole loop on real parts: a browser, a broker, a station process, the trainer and the exporter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

import edge_runtime.cli
import export.cli
import trainer.cli
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.page.package_card import read_card
from latentline.errors import ArchiveError
from tests.mosquitto import Mosquitto, Subscriber
from tests.paths import ROOT
from tests.sharing import free_port
from tests.waiting import wait_until
from tests.whole_job import whole_job

SECONDS = 120.0  # for anything that a busy machine may do late


class Line:
    """A trained model and its package, and a station process that inspects what is put into its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pictures, self.models = folder, folder / "pictures", folder / "models"
        for made in (self.pictures, self.models):
            made.mkdir()
        shutil.copytree(whole_job() / "run", folder / "run")
        self.first = self.package("first")
        self.broker = Mosquitto(folder / "broker")
        self.broker.start()
        self.port = free_port()
        self.station = folder / "station.yaml"
        self.station.write_text(yaml.safe_dump(self._settings()))
        command = [sys.executable, "-m", "edge_runtime", "run", str(self.station)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def archive(self) -> ArchiveReader:
        return ArchiveReader(self.folder / "archive")

    def package(self, name: str) -> Path:
        """The package of the run of this name; that of the first is called `run`."""
        run, out = self.folder / ("run" if name == "first" else name), self.models / f"{name}.zip"
        done(export.cli.main(["package", str(run), str(out), "--false-alarm-rate", "0.1", "--iterations", "0"]))
        return out

    def show(self, *kinds: str) -> None:
        """Put test images of these kinds into the station's folder, under names that say their kind."""
        for kind in kinds:
            for path in sorted((whole_job() / "images" / "test" / kind).glob("*.png")):
                copy = shutil.copyfile(path, self.folder / "copy")
                copy.replace(self.pictures / f"{len(list(self.pictures.iterdir())):03}-{kind}.png")

    def judged(self, count: int) -> None:
        """Wait until the archive holds that many pictures."""
        self.count(FrameQuery(), count)

    def count(self, query: FrameQuery, count: int) -> None:
        """Wait until the query finds so many pictures; a station that has just begun has no index yet."""

        def found() -> bool:
            try:
                return self.archive.frames(query, "newest", 1).total == count
            except ArchiveError:
                return False

        wait_until(found, f"{count} pictures of {query}", SECONDS)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.broker.stop()

    def _settings(self) -> dict[str, Any]:
        camera = {"id": "top", "kind": "folder", "source": str(self.pictures), "watch": True, "settle_seconds": 0}
        return {
            "station": {"id": "line-1"},
            "model": str(self.first),
            "cameras": [{**camera, "journal": str(self.folder / "journal")}],
            "mqtt": {"host": "127.0.0.1", "port": self.broker.port, "tls": None},
            "spool": {"path": str(self.folder / "spool.sqlite")},
            "archive": {"path": str(self.folder / "archive"), "shares": {"normal": 1.0}, "min_free_mib": 0},
            "commands": {"models": str(self.models)},
            "page": {"port": self.port},
        }


def done(code: int) -> None:
    """Check the exit code of a command."""
    assert code == 0


@pytest.fixture
def line(tmp_path: Path, exported_once: None) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.close()


def log_in(page: Page, line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """Make an engineer on the command line, and log in with the password that it prints."""
    capsys.readouterr()
    done(edge_runtime.cli.main(["page", "add-user", str(line.station), "anna", "--role", "engineer"]))
    password = capsys.readouterr().out.split()[3]  # password of anna: PASSWORD
    page.goto(f"http://127.0.0.1:{line.port}/login")
    page.get_by_label("User").fill("anna")
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/live")


def label(page: Page, line: Line, count: int) -> None:
    """Label so many pictures as what they are, by keys, in the order of the queue."""
    page.goto(f"http://127.0.0.1:{line.port}/review")
    for number in range(1, count + 1):
        expect(page.locator("#facts")).to_contain_text(".png")
        if "square" in page.locator("#facts").inner_text():
            page.locator("#kind").fill("square")
            page.locator("#kind").press("Enter")
        else:
            page.keyboard.press("g")
        line.count(FrameQuery(label="any"), number)


def test_ten_labels_lead_to_the_next_model(
    line: Line, browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Judged, labelled, exported, fine-tuned, compared and promoted: the next event names the new model."""
    page = browser.new_page()
    page.set_default_timeout(1e3 * SECONDS)
    with Subscriber(line.broker.port) as subscriber:
        subscriber.wait_state("online", SECONDS)
        line.show("good", "square")
        line.judged(24)
        log_in(page, line, capsys)
        label(page, line, 10)
        labels, run, archive = tmp_path / "labels", tmp_path / "second", tmp_path / "archive"
        done(edge_runtime.cli.main(["labels", "export", str(line.station), str(labels)]))
        fit = ["fit", "--from", str(tmp_path / "run"), "--add", str(labels), str(run), "--images", "24"]
        done(trainer.cli.main([*fit, "--device", "cpu"]))
        second = line.package("second")
        out = ["--out", str(line.models / "second.comparison"), "--workers", "1"]
        done(export.cli.main(["compare", str(line.first), str(second), "--archive", str(archive), *out]))

        page.goto(f"http://127.0.0.1:{line.port}/model")
        candidate = page.locator("li", has_text="second.zip")
        expect(candidate).to_contain_text("Compared on labelled pictures:")
        candidate.get_by_role("button", name="Promote").click()
        page.get_by_role("button", name="Yes").click()
        expect(page.locator("li", has_text="first.zip")).to_have_count(1, timeout=1e3 * SECONDS)

        new = read_card(second).sha256
        before = len(subscriber.messages("/defect"))
        line.show("square")
        line.judged(40)
        verdicts = [frame.verdict for frame in line.archive.frames(FrameQuery(), "newest", 16).frames]
        assert {verdict.model for verdict in verdicts} == {new}
        abnormal = sum(verdict.abnormal for verdict in verdicts)
        assert abnormal
        events = subscriber.wait("/defect", lambda all_: len(all_) == before + abnormal, SECONDS)
        assert {event.body["model"]["sha256"] for event in events[before:]} == {new}
    page.close()

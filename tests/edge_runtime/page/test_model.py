"""Promote and revert, with real packages and the station's own switch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from edge_runtime.page.package_card import read_card, read_cards
from edge_runtime.tools.demo.run import MODEL
from latentline.evidence.comparison import ComparedModel, ModelComparison
from latentline.evidence.recommendation import Recommendation
from latentline.evidence.tally import EvidenceTally
from tests.edge_runtime.fakes import DARK
from tests.edge_runtime.page.running import CalibratedInspector, RunningPage, page_data
from tests.packages import write_tiny_package


def write_comparison(folder: Path, old: str, new: str) -> None:
    """What `compare` writes of a new model that has three false alarms less."""
    tally = EvidenceTally()
    for number in range(20):
        tally.add(old=number < 4, new=number < 1, label="good")
        tally.add(old=True, new=number > 0, label="defect", kind="<b>hole</b>")
    sides = ComparedModel("first", old, 1.0), ComparedModel("second", new, 1.0)
    said = Recommendation("keep", "The new model misses more.")
    comparison = ModelComparison(*sides, tally.table, EvidenceTally().table, 0, {}, (), said)
    folder.mkdir()
    (folder / "comparison.json").write_text(json.dumps(comparison.to_dict()))


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPage]:
    """A station with two packages that work, of which it pretends to run the first, and one that does not."""
    folder = tmp_path_factory.mktemp("station")
    data = page_data(folder)
    models = folder / "models"
    models.mkdir()
    data["commands"]["models"], data["model"] = str(models), str(models / "first")
    for name in ("first", "second"):
        shutil.copytree(MODEL, models / name)
        manifest = json.loads((models / name / "manifest.json").read_text())
        (models / name / "manifest.json").write_text(json.dumps({**manifest, "name": f"brick {name}"}))
    write_comparison(models / "second.comparison", *(read_card(models / name).sha256 for name in ("first", "second")))
    (models / "wrong.comparison").mkdir()
    (models / "wrong.comparison" / "comparison.json").write_text("{}")
    (models / "broken.zip").write_bytes(b"no zip")
    inspector = CalibratedInspector()
    inspector.identity = replace(inspector.identity, sha256=read_card(models / "first").sha256)
    running = RunningPage(folder, inspector, data)
    running.start()
    yield running
    running.stop()


def test_a_model_is_promoted_and_reverted(station: RunningPage, browser: Browser) -> None:
    """An engineer promotes a package after one more question; the next frames are its own; then they revert."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{station.url}/login")
    page.get_by_label("User").fill("anna")
    page.get_by_label("Password").fill(station.passwords["anna"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/live")
    page.goto(f"{station.url}/model")
    expect(page.locator(".packages li")).to_have_count(2)
    expect(page.locator(".packages .warning")).to_contain_text("broken.zip is not a model package")
    candidate = page.locator("li", has_text="brick second")
    expect(candidate.locator("tr", has_text="false alarms")).to_contain_text("4 = 20.0 %")
    expect(candidate).to_contain_text("Keep the running one. The new model misses more.")
    expect(candidate).to_contain_text("caught: <b>hole</b>")
    page.locator("li", has_text="brick second").get_by_role("button", name="Promote").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator("h2").first).to_have_text("Running: brick second", timeout=30_000)
    expect(page.locator("#notice")).to_have_text("The station has switched from fake to brick second.")
    services = station.station._services
    assert services is not None and services.page is not None
    assert not services.page.feed._latest.scores  # those of another model say nothing
    station.show(DARK)
    assert station.station.snapshot().model_name == "brick second"
    page.get_by_role("button", name="Revert to the package of the station file").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator("h2").first).to_have_text("Running: brick first", timeout=30_000)
    expect(page.locator("#notice")).to_have_text("The station has gone back from brick second to brick first.")
    assert station.audit.count('"model changed"') == station.audit.count('"revert changed"') == 1
    context.close()


def test_a_package_that_has_changed_meanwhile_is_refused(station: RunningPage) -> None:
    """The hash that the page showed must still be the package's; else the running model stays, with a sentence."""
    before = station.station.snapshot().model_sha256
    with station.client("anna") as client:
        answer = client.post("/model", json={"name": "second", "sha256": "0" * 64})
        assert answer.status_code == 409 and "not the requested" in answer.json()["error"]
        answer = client.post("/model", json={"name": "broken.zip", "sha256": "0" * 64})
        assert answer.status_code == 409 and "stays" in answer.json()["error"]
        answer = client.post("/model", json={"name": "../station.yaml", "sha256": "0" * 64})
        assert answer.status_code == 409
    assert station.station.snapshot().model_sha256 == before


def test_a_card_never_raises(station: RunningPage) -> None:
    """What is no package has a card that says so."""
    for name in ("none", "broken.zip", "."):
        card = read_card(station.folder / "models" / name)
        assert card.manifest is None and card.fault


def test_a_package_that_no_request_can_name_says_so(tmp_path: Path) -> None:
    """It is shown with its fault; the station's own model may be called anything."""
    path = write_tiny_package(tmp_path / "my model")
    (tmp_path / ".hidden").mkdir()
    assert read_card(path).fault is None
    (card,) = read_cards(tmp_path)
    assert card.fault is not None and "no command can switch a station to 'my model': rename" in card.fault

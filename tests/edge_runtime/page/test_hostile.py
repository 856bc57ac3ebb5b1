"""Texts from outside that try to be more than text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.edge_runtime.fakes import BRIGHT
from tests.edge_runtime.page.running import CalibratedInspector, RunningPage, page_data

EVIL = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>\'"&{{7*7}}'


class _EvilInspector(CalibratedInspector):
    """A model whose name is hostile."""

    identity = CalibratedInspector.identity.__class__(EVIL[:90], "ab" * 32, EVIL[:90], 100.0, 3.0, 1, 8)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPage]:
    """A station of which every name is hostile, as far as its settings let one through."""
    folder: Path = tmp_path_factory.mktemp("evil")
    data = page_data(folder)
    (folder / "models").mkdir()
    data["commands"]["models"] = str(folder / "models")
    running = RunningPage(folder, _EvilInspector(), data)
    running.cameras["top"].source = EVIL
    running.start()
    running.station.health.fault("evil", EVIL)
    yield running
    running.stop()


def test_hostile_texts_stay_texts(evil: RunningPage, browser: Browser) -> None:
    """Names of files, of the model, of kinds, and faults with markup are shown letter by letter on every page."""
    (frame,) = evil.archive(BRIGHT)
    with evil.client("anna") as client:
        label = {"verdict": "defect", "kind": "7 b onerror"}
        assert client.post("/review/label", json={"pictures": [frame], "label": label}).status_code == 200
        refused = {"verdict": "defect", "kind": EVIL[:60]}
        assert client.post("/review/label", json={"pictures": [frame], "label": refused}).status_code == 409
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{evil.url}/login")
    page.get_by_label("User").fill("anna")
    page.get_by_label("Password").fill(evil.passwords["anna"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/live")
    expect(page.locator("#faults")).to_contain_text(EVIL)
    expect(page.locator(".when")).to_contain_text(EVIL)
    page.goto(f"{evil.url}/review")
    page.locator("select[name=show]").select_option("all")
    expect(page.locator("#facts")).to_contain_text(EVIL)
    page.goto(f"{evil.url}/health")
    expect(page.locator("table")).to_contain_text(EVIL)
    page.goto(f"{evil.url}/model")
    expect(page.locator("h2").first).to_contain_text(EVIL[:90])
    assert page.evaluate("window.evil ?? 0") == 0 and page.locator("img[src=x]").count() == 0
    context.close()


@pytest.mark.parametrize(
    "path", ["/login?error=<script>", "/live/frame/<script>", "/review/about/<script>", "/<script>"]
)
def test_an_address_is_never_echoed_as_markup(evil: RunningPage, path: str) -> None:
    """What stands in an address does not come back as HTML."""
    with evil.client("anna") as client:
        answer = client.get(path)
    assert "<script>" not in answer.text or answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/index.sqlite", "x" * 300])
def test_no_address_leads_out_of_the_archive(evil: RunningPage, name: str) -> None:
    """A picture's id that is none is not found, whatever it looks like."""
    with evil.client("anna") as client:
        for kind in ("frame", "thumb", "heat", "nearest", "about"):
            assert client.get(f"/review/{kind}/{name}").status_code in (404, 409)

"""The page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.page import review_view
from tests.edge_runtime.fakes import BRIGHT, DARK
from tests.edge_runtime.page.running import RunningPage
from tests.waiting import wait_until

# Texts that stand out too little from what is behind them.
WEAK_TEXTS = """() => {
  const rgba = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const over = (under, [r, g, b, a]) => [r, g, b].map((v, i) => a * v + (1 - a) * under[i]);
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const [r, g, b, a = 1] = rgba(getComputedStyle(e).backgroundColor);
      layers.unshift([r, g, b, a]);
      if (a === 1) break;
    }
    return layers.reduce(over, [255, 255, 255]);
  };
  const hasText = (e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  return [...document.querySelectorAll("body *")]
    .filter((e) => hasText(e) && e.checkVisibility() && !e.closest("svg, .uplot, :disabled"))
    .map((e) => {
      const style = getComputedStyle(e), size = parseFloat(style.fontSize);
      const [a, b] = [light(rgba(style.color)), light(behind(e))].sort((x, y) => y - x);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const ratio = (a + 0.05) / (b + 0.05);
      return ratio < (large ? 3 : 4.5) ? `${e.tagName} ${e.className} ${e.textContent.trim()} ${ratio}` : "";
    }).filter(Boolean);
}"""
PAGES = ("live", "review", "threshold", "model", "health")


class Watched:
    """A page of the browser, with all that went wrong on it."""

    def __init__(self, context: BrowserContext) -> None:
        self.page = context.new_page()
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.wrong.append(message.text)


@contextmanager
def _logged_in(browser: Browser, running: RunningPage, user: str = "anna") -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="Asia/Tokyo")
    context.set_default_timeout(20_000)
    watched = Watched(context)
    page = watched.page
    page.goto(f"{running.url}/login")
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(running.passwords[user])
    page.keyboard.press("Enter")
    page.wait_for_url("**/live")
    yield watched
    context.close()


@pytest.fixture(scope="module")
def _annas_browser(browser: Browser, running: RunningPage) -> Iterator[Watched]:
    with _logged_in(browser, running) as watched:
        yield watched


@pytest.fixture
def anna(_annas_browser: Watched, running: RunningPage) -> Watched:
    """An engineer's browser, at the live view."""
    _annas_browser.wrong.clear()
    _annas_browser.page.goto(f"{running.url}/live")
    return _annas_browser


def _label(running: RunningPage, frame: str) -> tuple[str, str | None] | None:
    label = ArchiveReader(running.archive_path).frame(frame).label
    return None if label is None else (label.verdict, label.kind)


def _queue(watched: Watched, running: RunningPage, count: int) -> Page:
    page = watched.page
    page.goto(f"{running.url}/review")
    expect(page.locator("#list li")).to_have_count(count)
    expect(page.locator("#facts")).to_contain_text("80 × 60")
    return page


def test_a_wrong_password_says_so(browser: Browser, running: RunningPage) -> None:
    """Who gives a wrong password stays at the login and reads why."""
    page = browser.new_page()
    page.goto(f"{running.url}/live")
    page.get_by_label("User").fill("anna")
    page.get_by_label("Password").fill("guess")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("User or password is wrong.")
    expect(page.get_by_label("User")).to_have_value("anna")
    expect(page.get_by_label("Password")).to_be_focused()
    page.close()


def test_the_live_view_follows_the_station(anna: Watched, running: RunningPage) -> None:
    """Without a reload, the newest frame's verdict, counters and boxes appear, and the faults in words."""
    page = anna.page
    running.show(DARK)
    expect(page.locator(".verdict-word")).to_have_text("OK")
    running.show(BRIGHT)
    expect(page.locator(".verdict-word")).to_have_text("NG")
    expect(page.locator("svg.boxes rect")).to_have_count(1)
    expect(page.locator(".ng")).to_have_text("1")
    expect(page.locator("#faults")).to_contain_text("cannot be reached")
    wait_until(lambda: page.evaluate("document.querySelector('.frame').naturalWidth") == 80, "the picture")


def test_times_are_those_of_the_browser(anna: Watched, running: RunningPage) -> None:
    """Live, Review and Health say date and time where the browser is, with the zone."""
    page = anna.page
    running.archive(DARK)
    page.goto(f"{running.url}/review")
    expect(page.locator("#facts")).to_contain_text("80 × 60")
    taken = page.evaluate("frames[0].at")
    there = datetime.fromisoformat(taken.replace("Z", "+00:00")).astimezone(timezone(timedelta(hours=9)))
    expect(page.locator("#title")).to_have_text(f"top, {there:%Y-%m-%d %H:%M:%S} GMT+9")
    page.goto(f"{running.url}/live")
    expect(page.locator(".when")).to_contain_text("GMT+9")
    page.goto(f"{running.url}/health")
    for _ in range(2):  # as loaded, and as the browser got it anew
        expect(page.locator("td time").first).to_contain_text("GMT+9")
        with page.expect_response("**/health/part"):
            pass


def test_an_old_verdict_is_struck_through(running: RunningPage, anna: Watched) -> None:
    """When the station does not answer, the last verdict does not look like a present one; then it does again."""
    page = anna.page
    running.show(DARK)
    expect(page.locator(".verdict-word")).to_have_text("OK")
    line = "getComputedStyle(document.querySelector('.verdict')).textDecorationLine"
    assert page.evaluate(line) == "none"
    assert page.evaluate(f"() => {{ silent('nothing has come'); return {line} }}") == "line-through"
    expect(page.locator("body.stale")).to_have_count(0)


def test_no_page_breaks_its_own_policy(anna: Watched, running: RunningPage) -> None:
    """No page makes the browser report a violation of the policy, an error or a missing file; scripts do run."""
    running.archive(DARK)
    for name in PAGES:
        anna.page.goto(f"{running.url}/{name}")
        anna.page.wait_for_load_state("load")
    expect(anna.page.locator("h1")).to_have_text("Health")
    anna.page.goto(f"{running.url}/threshold")
    expect(anna.page.locator("#alarms")).to_contain_text("%")
    assert anna.wrong == []


def test_the_policy_stops_an_injected_script(anna: Watched, running: RunningPage) -> None:
    """A script that gets into a page as text does not run."""
    ran = anna.page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s); return window.ran ?? 0 }"
    )
    assert ran == 0 and any("Content Security Policy" in text for text in anna.wrong)


def test_another_site_cannot_change_anything(anna: Watched, running: RunningPage) -> None:
    """A form that another web site sends with the browser of an engineer is refused: it lacks cookie and token."""
    page = anna.page.context.new_page()
    page.goto(f"http://localhost:{running.port}/login")  # another site than 127.0.0.1
    status = page.evaluate(
        "url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}'})"
        ".then(r => r.type, e => 'refused')",
        f"{running.url}/threshold",
    )
    assert status in ("opaque", "refused") and running.station.snapshot().threshold == 100.0
    assert "threshold" not in running.audit


def _last_audited(running: RunningPage) -> dict[str, Any]:
    last: dict[str, Any] = json.loads(running.audit.splitlines()[-1])
    return last


def test_labels_by_keys_alone(browser: Browser, running: RunningPage, anna: Watched) -> None:
    """G, D with a kind, S and U say it with the keyboard; the audit log has who said what, old and new."""
    with running.client("anna") as client:
        client.post("/review/label", json={"pictures": running.archived(), "label": {"verdict": "skip"}})
    running.archive(BRIGHT, BRIGHT + 10, BRIGHT + 20)
    page = _queue(anna, running, 3)
    order = page.evaluate("frames.map(({id}) => id)")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.keyboard.type("scratch")
    page.keyboard.press("Enter")
    page.keyboard.press("s")
    wait_until(lambda: _label(running, order[2]), "the labels")
    assert [_label(running, frame) for frame in order] == [("good", None), ("defect", "scratch"), ("skip", None)]
    page.keyboard.press("u")
    wait_until(lambda: _label(running, order[2]) is None, "the undo")
    wait_until(lambda: _last_audited(running)["action"] == "label changed", "the audit of what the undo has changed")
    last = _last_audited(running)
    assert last["who"] == "anna"
    assert last["changes"][0]["old"]["verdict"] == "skip" and last["changes"][0]["new"] is None
    page.keyboard.press("1")
    wait_until(lambda: _label(running, order[2]) == ("defect", "scratch"), "the quick key of a known kind")


def test_the_next_page_leaves_no_picture_out(
    running: RunningPage, anna: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was labelled has left the queue and the rest has moved up; → on the last picture opens the next page."""
    monkeypatch.setattr(review_view, "_PAGE", 2)
    with running.client("anna") as client:
        client.post("/review/label", json={"pictures": running.archived(), "label": {"verdict": "skip"}})
    running.archive(BRIGHT + 11, BRIGHT + 12, BRIGHT + 13, BRIGHT + 14)
    queue = ArchiveReader(running.archive_path).frames(FrameQuery(open=True), "queue", 4, 0).frames
    page = _queue(anna, running, 2)
    page.keyboard.press("g")
    page.keyboard.press("g")
    expect(page.locator("#notice")).to_contain_text("good")
    wait_until(lambda: all(_label(running, frame.verdict.id) for frame in queue[:2]), "the labels")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#count")).to_have_text("1–2 of 2")
    assert page.evaluate("frames.map(({id}) => id)") == [frame.verdict.id for frame in queue[2:]]


def test_a_box_says_where(running: RunningPage, anna: Watched) -> None:
    """A box drawn with the mouse goes with the label, in pixels of the frame."""
    (frame,) = running.archive(BRIGHT)
    page = anna.page
    page.goto(f"{running.url}/review")
    expect(page.locator("#facts")).to_contain_text("80 × 60")
    page.evaluate("id => select(frames.findIndex((frame) => frame.id === id))", frame)
    expect(page.locator("#marks rect")).to_have_count(1)
    page.keyboard.press("b")
    corners = page.evaluate(
        "() => [[10, 20], [30, 50]].map(([x, y]) => {"
        " const p = new DOMPoint(x, y).matrixTransform(drawn.getScreenCTM()); return [p.x, p.y] })"
    )
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1])
    page.mouse.up()
    page.get_by_role("button", name="Defect").click()
    wait_until(lambda: _label(running, frame), "the label")
    label = ArchiveReader(running.archive_path).frame(frame).label
    assert label is not None and label.mask is not None
    (box,) = label.mask.boxes
    assert box == pytest.approx((10, 20, 20, 30), abs=0.5)


def test_a_label_survives_a_lost_network(running: RunningPage, anna: Watched) -> None:
    """A label said without a network waits in the browser, says so, and is stored when the network is back."""
    (frame,) = running.archive(BRIGHT + 5)
    page = anna.page
    page.goto(f"{running.url}/review")
    expect(page.locator("#facts")).to_contain_text("80 × 60")
    page.evaluate("id => select(frames.findIndex((frame) => frame.id === id))", frame)
    wait_until(lambda: page.evaluate("outbox().length") == 0, "what was said before")
    page.context.set_offline(True)
    page.keyboard.press("g")
    expect(page.locator("#unsent")).to_contain_text("One of your labels waits in this browser")
    assert _label(running, frame) is None
    page.context.set_offline(False)
    wait_until(lambda: _label(running, frame) == ("good", None), "the label that waited")
    expect(page.locator("#unsent")).to_be_hidden()


def test_a_label_whose_answer_was_lost_is_not_said_twice(running: RunningPage) -> None:
    """The browser sends a label again when it got no answer; a label that somebody else gave since then stands."""
    (frame,) = running.archive(BRIGHT + 9)
    asked = {"key": "1", "pictures": [frame], "label": {"verdict": "good"}}
    with running.client("anna") as anna, running.client("otto") as otto:
        first = anna.post("/review/label", json=asked).json()
        otto.post("/review/label", json={**asked, "label": {"verdict": "skip"}})
        assert anna.post("/review/label", json=asked).json() == first
    assert _label(running, frame) == ("skip", None)


def test_a_label_for_a_pruned_picture_is_a_sentence(running: RunningPage, anna: Watched) -> None:
    """A label for a picture that the archive has pruned meanwhile is a sentence, and blocks no other."""
    frames = running.archive(BRIGHT + 6, BRIGHT + 7)
    page = anna.page
    page.goto(f"{running.url}/review")
    expect(page.locator("#facts")).to_contain_text("80 × 60")
    page.evaluate("id => { frames[0].id = id; select(0) }", f"{frames[0][:-12]}{'0' * 12}")
    page.keyboard.press("g")
    expect(page.locator("#notice")).to_contain_text("is not in the archive (any more)")
    page.evaluate("id => select(frames.findIndex((frame) => frame.id === id))", frames[1])
    page.keyboard.press("g")
    wait_until(lambda: _label(running, frames[1]), "the label after it")


def test_the_last_of_two_operators_wins_and_both_are_noted(
    browser: Browser, running: RunningPage, anna: Watched
) -> None:
    """Of two people who label one picture, the last one wins; history, audit log and queue have both."""
    (frame,) = running.archive(BRIGHT + 8)
    with running.client("otto") as otto:
        otto.post("/review/label", json={"pictures": [frame], "label": {"verdict": "defect", "kind": "hole"}})
    with running.client("anna") as client:
        client.post("/review/label", json={"pictures": [frame], "label": {"verdict": "good"}})
        about = client.get(f"/review/about/{frame}").json()
        queue = client.get("/review/list", params={"show": "disputed"}).json()["frames"]
    assert about["label"]["verdict"] == "good" and [said["who"] for said in about["said"]] == ["otto", "anna"]
    assert [one["id"] for one in queue] == [frame]
    assert len(ArchiveLabels(running.archive_path).history(frame)) == 2
    noted = [json.loads(line) for line in running.audit.splitlines() if '"label changed"' in line and frame in line]
    assert [entry["who"] for entry in noted] == ["otto", "anna"]
    assert noted[1]["changes"][0]["old"] == {"verdict": "defect", "kind": "hole", "place": False}


def test_many_pictures_are_labelled_at_once(running: RunningPage, anna: Watched) -> None:
    """What is said while pictures are selected holds for all of them."""
    running.archive(BRIGHT + 1, BRIGHT + 2)
    page = anna.page
    page.goto(f"{running.url}/review")
    expect(page.locator("#facts")).to_contain_text("80 × 60")
    page.keyboard.press("a")
    every = page.evaluate("frames.map(({id}) => id)")
    expect(page.locator("#selected")).to_contain_text(f"{len(every)} selected")
    page.keyboard.press("g")
    wait_until(lambda: all(_label(running, frame) == ("good", None) for frame in every), "all labels")


def test_an_engineer_changes_the_threshold(running: RunningPage, anna: Watched) -> None:
    """A threshold set on the page holds for the next frame, is kept, and the audit log has old and new."""
    page = anna.page
    page.goto(f"{running.url}/threshold")
    expect(page.locator("#alarms")).to_contain_text("%")
    page.get_by_label("Threshold", exact=True).first.fill("90")
    expect(page.locator("#alarms")).to_have_text("9.9 % (95 %: 4.9 % to 16 %)")
    page.get_by_role("button", name="Use this threshold").click()
    expect(page.locator("#notice")).to_contain_text("was 100.0 and is 90.00 now")
    assert running.station.snapshot().threshold == 90.0
    last = json.loads(running.audit.splitlines()[-1])
    assert (last["who"], last["action"], last["old"], last["new"]) == ("anna", "threshold changed", 100.0, 90.0)
    with running.client("anna") as client:
        stale = client.post("/threshold", json={"value": 80.0, "seen": 100.0})
        assert "somebody has changed the threshold" in stale.json()["error"]
        assert client.post("/threshold", json={"value": 100.0, "seen": 90.0}).status_code == 200


@pytest.mark.parametrize("size", [(1920, 1080), (390, 844)])
def test_nothing_is_wider_than_the_screen(running: RunningPage, anna: Watched, size: tuple[int, int]) -> None:
    """On a phone and at 1080p no page scrolls sideways."""
    anna.page.set_viewport_size({"width": size[0], "height": size[1]})
    for name in PAGES:
        anna.page.goto(f"{running.url}/{name}")
        anna.page.wait_for_load_state("load")
        assert anna.page.evaluate("document.documentElement.scrollWidth") <= size[0], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_enough_contrast(running: RunningPage, anna: Watched, scheme: Literal["light", "dark"]) -> None:
    """Each text stands out from what is behind it as WCAG AA asks: 4.5 to 1, large text 3 to 1."""
    anna.page.emulate_media(color_scheme=scheme)
    for name in PAGES:
        anna.page.goto(f"{running.url}/{name}")
        anna.page.wait_for_load_state("load")
        assert anna.page.evaluate(WEAK_TEXTS) == [], name
    anna.page.emulate_media(color_scheme="light")

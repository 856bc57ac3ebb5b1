"""The pictures of docs/operator.md, from the demo's station: python -m docs.operator_pictures docs/operator

Needs Chromium and the extras `dev`. Takes a minute.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

_PAGES = ("live", "review", "threshold", "model", "health")
_WIDE, _PHONE = (1440, 900), (390, 844)
_COLOURS = 256  # of a picture: small files
_LABELS = """async ({token}) => {
  const list = async (order) => (await (await fetch(`/review/list?show=all&order=${order}`)).json()).frames;
  const say = (frames, label) => fetch("/review/label", {method: "POST",
    headers: {"Content-Type": "application/json", "X-CSRF-Token": token},
    body: JSON.stringify({pictures: frames.map(({id}) => id), label})});
  await say((await list("score")).slice(0, 25), {verdict: "defect", kind: "chip"});
  await say((await list("score")).slice(25, 45), {verdict: "defect", kind: "stain"});
  await say((await list("queue")).filter(({abnormal}) => !abnormal).slice(8, 30), {verdict: "good"});
}"""


def main(folder: Path) -> None:
    """Write the pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as output:
        models = Path(output) / "models"
        demo = Path(__file__).parents[1] / "edge_runtime" / "tools" / "demo" / "model"
        shutil.copytree(demo, models / "brick-2")
        manifest = models / "brick-2" / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"demo-brick"', '"brick, second"'))
        command = [sys.executable, "-m", "edge_runtime", "demo", "--page", "--seconds", "300", "--output", output]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            told = ""
            while "Ctrl-C" not in told:
                told += process.stdout.readline()
            url = re.search(r"http://\S+", told)
            password = re.search(r"engineer\s+password (\S+)", told)
            assert url is not None and password is not None
            time.sleep(25)  # some frames
            _take(url[0], password[1], folder)
        finally:
            process.kill()


def _take(url: str, password: str, folder: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": _WIDE[0], "height": _WIDE[1]})
        page.goto(f"{url}/login")
        page.get_by_label("User").fill("engineer")
        page.get_by_label("Password").fill(password)
        page.keyboard.press("Enter")
        page.wait_for_url("**/live")
        page.evaluate(_LABELS, {"token": page.get_attribute('meta[name="csrf"]', "content")})
        for name in _PAGES:
            _show(page, f"{url}/{name}")
            _save(page, folder / f"{name}.png")
        page.set_viewport_size({"width": _PHONE[0], "height": _PHONE[1]})
        page.emulate_media(color_scheme="dark")
        _show(page, f"{url}/live")
        _save(page, folder / "phone.png")
        browser.close()


def _show(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_timeout(3000)
    if address.endswith("/live"):
        page.wait_for_selector(".camera.abnormal svg.boxes rect", state="attached")
    if address.endswith("/review"):
        page.locator("#list li.abnormal button.thumb").first.click()
        page.wait_for_timeout(1000)


def _save(page: Page, path: Path) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""A browser for the tests of the page, where the machine has one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser, expect, sync_playwright

from tests.edge_runtime.page.running import RunningPage, running_page

_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    """Passwords that take a millisecond, not the tenth of a second that keeps thieves busy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_runtime.page.users._hash", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("CHROMIUM IS MISSING: the tests in a browser did not run; install the package `chromium`")
    expect.set_options(timeout=20_000)  # as long as `wait_until`
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=_OPTIONS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPage]:
    """A station with its page, shared by the tests of one file."""
    with running_page(tmp_path_factory.mktemp("station")) as station:
        yield station

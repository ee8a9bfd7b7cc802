from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
MODELS = ("openmoji", "furniture", "turntable", "moving-openmoji")
QUIET = (
    "--no-sandbox", "--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
)  # fmt: skip
"""A browser that talks to nobody else, and draws WebGL without a graphics card."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = os.environ.get("CHROME") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.fail("no browser: name one by CHROME=/path/to/chromium, or install Debian's package chromium")
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=found, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of an explorer of the models that come along, in a process of its own."""
    log = tmp_path_factory.mktemp("explorer") / "log"
    line = (sys.executable, "-m", "ddmi", "explore", *MODELS, "--port", "0")
    with log.open("w") as out, subprocess.Popen(line, stdout=out, stderr=out, cwd=log.parent) as process:
        for _ in range(600):
            said = [word for word in log.read_text().split() if word.startswith("http://")]
            if said or process.poll() is not None:
                break
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        assert said, log.read_text()
        yield said[0]
        process.terminate()


Open = Callable[[str], Page]


@pytest.fixture
def open_model(browser: Browser, address: str) -> Iterator[Open]:
    """Opens the page and a model in it; the test fails where its script reports an error."""
    errors: list[str] = []
    pages: list[Page] = []

    def opened(model: str) -> Page:
        page = browser.new_page(viewport={"width": 1180, "height": 820})
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.get_by_role("button", name=model, exact=True).click()
        page.locator("#view h2").wait_for()
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert errors == []

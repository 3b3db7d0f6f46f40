"""A real browser for the console: Debian's Chromium driven by Playwright; any complaint of a page fails its test."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path(".winnow/screenshots")


# One browser a module: Playwright keeps an event loop running in this thread while it is open.
@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What pages complained of; a test that provokes a complaint reads it and clears the list."""
    return []


@pytest.fixture
def page(browser: "Browser", complaints: list[str], request: pytest.FixtureRequest) -> "Iterator[Page]":
    """A fresh page of 1280 x 900. Its test fails on errors and warnings of the console and on failed requests."""

    def heard(message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"console {message.type}: {message.text}")

    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    page.on("requestfailed", lambda failed: _failed(complaints, failed.url, failed.failure))
    yield page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{re.sub(r'[^a-z0-9]+', '_', request.node.name.lower())}.png", full_page=True)
    found = list(complaints)
    context.close()
    assert found == []


def _failed(complaints: list[str], url: str, why: str | None) -> None:
    if why != "net::ERR_ABORTED":  # what leaving a page does to its stream
        complaints.append(f"request failed: {url}: {why}")

"""A real browser over a console: its content, its errors, and its requests.

A page that logs an error, or sends a request to anything but this machine, fails its test.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tools.prerequisites import check_browser, find_browser

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HERE = {"127.0.0.1", "localhost"}
DESK, PHONE = {"width": 1360, "height": 860}, {"width": 390, "height": 844}
PATIENCE = 20_000
"""Milliseconds that something may take to appear."""


class BrowserMissingError(Exception):
    """There is no browser to test with."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser; without one its tests are skipped, and in continuous integration they fail.

    Raises:
        BrowserMissingError: if there is none, in continuous integration.
    """
    path = find_browser()
    if path is None:
        if os.environ.get("CI") == "true":
            raise BrowserMissingError(check_browser())
        pytest.skip(str(check_browser()))
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield made
        finally:
            made.close()


class Visit:
    """A page of a console, opened by a user who has the token.

    Args:
        page: the browser's.
        address: the console's.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._on_request(request.url))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _on_request(self, url: str) -> None:
        if urlsplit(url).hostname not in HERE:
            self.foreign.append(url)

    def go(self, place: str, title: str) -> None:
        """Open a page, such as "sensors/watch", and wait for its title."""
        self.page.goto(f"{self.address}#/{place}")
        self.sees_title(title)

    def sees_title(self, title: str) -> None:
        """Wait for the title of a page, with its content."""
        self.page.get_by_role("heading", name=title, level=1, exact=True).wait_for()
        self.settles()

    def settles(self) -> None:
        """Wait until no request is pending."""
        self.page.locator(".loading").first.wait_for(state="detached")

    def sees(self, text: str, within: Locator | None = None) -> None:
        """Wait for an exact text."""
        place = within or self.page.locator("body")
        place.get_by_text(text).first.wait_for()

    def presses(self, name: str, *, exact: bool = True) -> None:
        """Press a button: of the dialog, if one is open."""
        dialog = self.page.get_by_role("dialog")
        place = dialog if dialog.count() else self.page
        place.get_by_role("button", name=name, exact=exact).first.click()

    def stops_the_clock(self) -> None:
        """Stop the page's timers, which then run only when the test says so; reload the page."""
        self.page.clock.install()
        self.page.reload()

    def sees_status(self, text: str) -> None:
        """Wait for a notification that something was done."""
        self.page.locator(".toast").get_by_text(text).wait_for()

    def refused(self, status: int) -> None:
        """Forget the browser's error about a response that the test expects."""
        expected = f"Failed to load resource: the server responded with a status of {status}"
        deadline = time.monotonic() + PATIENCE / 1000
        while not (found := [each for each in self.complaints if each.startswith(expected)]):
            assert time.monotonic() < deadline, f"no answer {status}; the browser says: {self.complaints}"
            self.page.wait_for_timeout(50)
        self.complaints = [each for each in self.complaints if each not in found]

    def faults(self) -> list[str]:
        """Return accessibility problems with a keyboard or a screen reader that axe-core finds."""
        found: Mapping[str, Any] = Axe().run(self.page).response
        return [
            f"{each['impact']} {each['id']}: {node['html'][:200]} ({node.get('failureSummary', '')})"
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return max(0, wide)


@contextlib.contextmanager
def visiting(browser: Browser, address: str, *, token: str = "", **options: Any) -> Iterator[Visit]:
    """Visit a console; afterwards there must be no errors, and no requests to other hosts.

    Args:
        browser: opens the window.
        address: the console's.
        token: its start-up token, if it has one.
        options: of the browser's context, such as `color_scheme`.
    """
    context = browser.new_context(**{"viewport": DESK, "locale": "en-GB", **options})
    try:
        visit = Visit(context.new_page(), address)
        visit.page.goto(f"{address}#token={token}" if token else address)
        yield visit
        assert not visit.complaints, f"the browser complains: {visit.complaints}"
        assert not visit.foreign, f"the page sent requests to others: {visit.foreign}"
    finally:
        context.close()

"""Chromium for the journeys: contexts that notice errors and strangers, and axe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from scripts.provision import find_chromium

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]

# The browser talks to this machine and to nobody else, not even to look for updates.
ARGUMENTS = [
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost",
]


@contextmanager
def launched() -> Iterator[Browser]:
    """One Chromium. While it lives, no event loop can run in this thread: no `async` tests beside it."""
    with sync_playwright() as playwright:
        # Without a path, Playwright looks for its own and says how to install it.
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


class Contexts:
    """Makes browser contexts, each a person with a browser of their own, and watches them all.

    `complaints` gathers what no page may do: script errors, console errors (a broken CSP is one), requests
    that leave this machine. A test that provokes one on purpose clears the list.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._open: list[BrowserContext] = []
        self.complaints: list[str] = []

    def __call__(
        self,
        *,
        javascript: bool = True,
        color_scheme: str = "light",
        width: int = 1280,
        height: int = 900,
        locale: str = "en-US",
        **options: Any,
    ) -> BrowserContext:
        context = self._browser.new_context(
            java_script_enabled=javascript,
            viewport={"width": width, "height": height},
            locale=locale,
            **{"color_scheme": color_scheme, "reduced_motion": "reduce", "timezone_id": "UTC", **options},
        )
        context.set_default_timeout(10_000)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.complaints.append(f"script error: {error.error}"))
        context.on("request", self._on_request)
        self._open.append(context)
        return context

    def close(self) -> None:
        for context in self._open:
            context.close()
        self._open.clear()

    def _on_console(self, message: ConsoleMessage) -> None:
        # A page that is answered with 410 or 422 is "a failed resource" to Chromium, and fine with us.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        host = address.hostname or ""
        if address.scheme in ("http", "https", "ws", "wss") and not (
            host == "127.0.0.1" or host.endswith("localhost")
        ):
            self.complaints.append(f"request to {host}: {request.url}")


def axe_violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is now: rule, why, and where, one line each."""
    page.evaluate(AXE)
    result = page.evaluate(
        "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})",
        AXE_TAGS,
    )
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {node['html'][:200]}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


def axe(page: Page) -> None:
    """Assert that the page has no accessibility fault that a machine can find."""
    violations = axe_violations(page)
    assert not violations, f"{page.url}\n" + "\n".join(violations)

"""Takes the README's pictures from the running demo: `make screenshots`. Asserts only that they stay small."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page

from tests.support import browser, server

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SCHEMES = ("light", "dark")
LARGEST = 150 * 1024
WIDTH, HEIGHT, SCALE = 620, 920, 1.5


def main() -> None:
    """Start a demo of its own, walk one customer's flow in light and in dark, and keep what was seen."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "demo", "--data", f"{folder}/data"]
        with (
            server.started(command, env={}, log=Path(folder) / "log") as demo,
            browser.launched() as chromium,
        ):
            for scheme in SCHEMES:
                walk(chromium, demo.url, scheme)


def walk(chromium: Browser, url: str, scheme: str) -> None:
    """Ben pays for Pro every month: he is asked why, offered half price, and told what ends when."""
    contexts = browser.Contexts(chromium)
    page = contexts(color_scheme=scheme, width=WIDTH, height=HEIGHT, device_scale_factor=SCALE).new_page()
    page.goto(f"{url}/demo")
    page.get_by_role("button", name="Sign in as Ben").click()
    page.get_by_role("link", name="Billing").click()
    press(page, "Cancel subscription", "What makes you want to leave?")
    page.get_by_label("It costs too much").check()
    page.get_by_label("A lower price").check()
    keep(page, f"survey-{scheme}")
    press(page, "Continue", "Half price for three months?")
    keep(page, f"offer-{scheme}")
    press(page, "Cancel now", "Cancel your subscription?")
    keep(page, f"confirm-{scheme}")
    contexts.close()
    if contexts.complaints:
        sys.exit("\n".join(contexts.complaints))


def press(page: Page, button: str, then: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()
    heading(page, then).wait_for()


def heading(page: Page, text: str) -> Locator:
    return page.get_by_role("heading", name=text, level=1)


def keep(page: Page, name: str) -> None:
    """The page from its top, without the ring around what was clicked last."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    file = IMAGES / f"{name}.png"
    page.screenshot(path=file, animations="disabled")
    if file.stat().st_size > LARGEST:
        sys.exit(f"{file.name} is larger than {LARGEST // 1024} KB: choose a smaller window.")


if __name__ == "__main__":
    main()

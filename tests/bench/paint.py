"""From pressing the shop's button to the first step in sight, against an empty page behind the same redirects."""

import statistics
import sys

from playwright.sync_api import Browser, CDPSession

from tests.bench import demo, report
from tests.support import browser, server

BAR_MS, TIMES = 100, 7
# Slow 4G: 150 ms to and fro, 1.6 Mbit/s down, 750 kbit/s up; the processor at a quarter of its speed.
SLOW_4G = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1_600_000 / 8,
    "uploadThroughput": 750_000 / 8,
}
CPU_SLOWDOWN = 4
# The press is noted in the page that is left, and kept in the tab until the next one is seen.
_NOTE_PRESS = """addEventListener("submit", () => {
    sessionStorage.setItem("pressed", performance.timeOrigin + performance.now());
}, true);"""
_PAINTED = """() => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const pressed = sessionStorage.getItem("pressed");
    return document.querySelector("h1") && paint && pressed
        ? performance.timeOrigin + paint.startTime - Number(pressed) : null;
}"""


def measure() -> None:
    ours: list[float] = []
    empty: list[float] = []
    with (
        demo.folder() as folder,
        demo.running(folder) as shop,
        server.started(
            [sys.executable, "-m", "tests.bench.empty"], env={}, log=folder / "empty.log"
        ) as stand_in,
        browser.launched() as chromium,
    ):
        for number in range(TIMES + 1):
            turns = [(shop.url, ours), (stand_in.url, empty)]
            for url, kept in turns if number % 2 else reversed(turns):
                took = _press(chromium, url, is_shop=url == shop.url)
                if number:  # the first of each only warms the servers up
                    kept.append(took)
    more = statistics.median(ours) - statistics.median(empty)
    rows = [
        ["Leavewell's first step", *_figures(ours), "", ""],
        ["an empty page, same redirects", *_figures(empty), "", ""],
        ["more", f"{more:.0f}", "", f"{BAR_MS}", report.verdict(more <= BAR_MS)],
    ]
    title = (
        f"From the shop's button to the first paint, cold cache, slow 4G, CPU ÷ {CPU_SLOWDOWN}, {TIMES} times"
    )
    report.table(title, ("", "median ms", "spread", "bar", ""), rows)


def _press(chromium: Browser, url: str, *, is_shop: bool) -> float:
    """One customer with a browser of their own. Only what follows the press is slowed down."""
    context = chromium.new_context(viewport={"width": 412, "height": 823}, device_scale_factor=2)
    try:
        page = context.new_page()
        page.add_init_script(_NOTE_PRESS)
        if is_shop:
            page.goto(f"{url}/demo")
            page.get_by_role("button", name=f"Sign in as {demo.SHOPPER}").click()
            page.goto(f"{url}/demo/billing")
        else:
            page.goto(url)
        _slow_down(context.new_cdp_session(page))
        page.get_by_role("button", name="Cancel subscription").click(no_wait_after=True)
        painted = page.wait_for_function(_arrived(page.url), timeout=20_000)
        return float(painted.json_value())
    finally:
        context.close()


def _arrived(left: str) -> str:
    return f"() => location.href === {left!r} ? null : ({_PAINTED})()"


def _slow_down(devtools: CDPSession) -> None:
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    devtools.send("Network.emulateNetworkConditions", SLOW_4G)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWDOWN})


def _figures(values: list[float]) -> list[str]:
    return [f"{statistics.median(values):.0f}", f"{min(values):.0f} to {max(values):.0f}"]

"""The mailbox in Chromium: it looks right, and a mail can neither run anything nor reach anybody."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.demo.shops import Backend, build, letter, put
from tests.support import browser, server

pytestmark = pytest.mark.e2e

HELP = "/demo/help/cancel-without-signing-in"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[str, Backend]]:
    listener = server.listen()
    backend = build(tmp_path, origin=server.address(listener))
    with server.served(backend.app, listener) as url:
        yield url, backend
    backend.billing.close()


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """Somebody on this machine to reach out to."""
    with closing(server.listen()) as listener:
        yield listener


def was_reached(trap: socket.socket, *, within_s: float = 0) -> bool:
    """Whether anybody has connected: the system takes connections for it, accepted or not."""
    trap.settimeout(within_s)
    try:
        trap.accept()[0].close()
    except (BlockingIOError, TimeoutError):
        return False
    return True


def hostile(trap: str) -> str:
    """Whatever a page can do to call home or to run something, as the HTML of a mail."""
    return f"""<!doctype html><html lang="en"><head>
      <base href="{trap}/" target="_self"><title>Hostile</title>
      <meta http-equiv="refresh" content="0; url={trap}/refresh">
      <link rel="preconnect" href="{trap}"><link rel="dns-prefetch" href="{trap}">
      <link rel="stylesheet" href="{trap}/style.css"><link rel="prefetch" href="{trap}/prefetch">
      <LINK
        rel="icon" href="{trap}/icon"><<link>iframe src="{trap}/pieces"></iframe>
      <<base>link rel=preconnect href="{trap}">
      <style>@import "{trap}/import.css"; @font-face {{ font-family: x; src: url({trap}/font) }}
        body {{ background: url({trap}/background); font-family: x }}</style>
      <script>document.documentElement.dataset.ran = "1"; fetch("{trap}/fetch")</script>
      <script src="{trap}/script.js"></script></head>
      <body onload="top.location = '{trap}/onload'">
      <p id="there">There</p>
      <img src="{trap}/picture" alt=""><img src="x" alt="" onerror="document.title = 'ran'">
      <picture><source srcset="{trap}/source"><img src="{trap}/picture2" alt=""></picture>
      <svg><script>document.title = "ran"</script><image href="{trap}/svg"/></svg>
      <iframe src="{trap}/frame" title="x"></iframe><iframe srcdoc="<img src='{trap}/srcdoc'>" title="y"></iframe>
      <object data="{trap}/object"></object><embed src="{trap}/embed">
      <video src="{trap}/video" poster="{trap}/poster" autoplay></video><audio src="{trap}/audio" autoplay></audio>
      <form action="{trap}/form"><input name="q" autofocus><button id="send">Send</button></form>
      <a id="script" href="javascript:document.title='ran'">Script</a>
      </body></html>"""


def test_what_is_hostile_here_reaches_out_elsewhere(
    trap: socket.socket, new_context: browser.Contexts
) -> None:
    new_context().new_page().set_content(hostile(server.address(trap)), wait_until="commit")
    assert was_reached(trap, within_s=10)
    new_context.complaints.clear()


@pytest.mark.parametrize("is_framed", [True, False])
def test_a_mail_runs_nothing_and_reaches_nobody(
    shop: tuple[str, Backend], trap: socket.socket, new_context: browser.Contexts, is_framed: bool
) -> None:
    url, backend = shop
    id = put(backend.mailbox, letter(html=hostile(server.address(trap))))
    page = new_context().new_page()
    page.goto(f"{url}/demo/mailbox/{id}{'' if is_framed else '/html'}", wait_until="networkidle")
    where = page.url
    mail = next(frame for frame in page.frames if frame.url.endswith("/html"))
    mail.locator("#there").wait_for()
    mail.locator("#send").click()
    mail.locator("#script").click()
    page.wait_for_load_state("networkidle")
    assert page.url == where
    assert page.title() == ("Your code · Northwind Notes" if is_framed else "Hostile")
    assert not was_reached(trap)
    assert new_context.complaints  # the browser has said what it held back
    new_context.complaints.clear()


def test_links_of_a_mail_open_in_place_of_the_page(
    shop: tuple[str, Backend], new_context: browser.Contexts
) -> None:
    url, backend = shop
    id = put(backend.mailbox, letter(html=f'<!doctype html><p><a href="{url}{HELP}">Undo</a>'))
    page = new_context().new_page()
    page.goto(f"{url}/demo/mailbox/{id}")
    page.frame_locator("iframe").get_by_role("link", name="Undo").click()
    page.wait_for_url(f"{url}{HELP}")
    page.get_by_role("heading", level=1, name="Cancel without signing in").wait_for()


def test_a_mail_is_read_without_javascript_and_its_files_are_kept(
    shop: tuple[str, Backend], new_context: browser.Contexts
) -> None:
    url, backend = shop
    put(backend.mailbox, letter(file=("receipt-LW-1.json", b"{}")))
    page = new_context(javascript=False).new_page()
    page.goto(f"{url}/demo")
    page.get_by_role("link", name="Mailbox", exact=True).click()
    page.get_by_role("link", name="Your code").click()
    page.frame_locator("iframe").get_by_text("123 456").wait_for()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="receipt-LW-1.json").click()
    assert downloading.value.suggested_filename == "receipt-LW-1.json"
    page.get_by_text("Source", exact=True).click()
    page.get_by_text("Message-ID: <mail_1@northwind.example>").wait_for()


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_fits(
    shop: tuple[str, Backend],
    new_context: browser.Contexts,
    axe: Callable[[Page], None],
    scheme: str,
    width: int,
) -> None:
    url, backend = shop
    page = new_context(color_scheme=scheme, width=width).new_page()

    def look(path: str) -> None:
        page.goto(f"{url}{path}")
        axe(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is too wide"

    look("/demo/mailbox")
    look(HELP)
    long = "Your_subscription_is_canceled" * 4
    id = put(backend.mailbox, letter(long, text=f"{long}\n" * 3, file=(f"{long}.json", b"{}")))
    page.goto(f"{url}/demo")
    page.get_by_role("button", name="Sign in as Ben").click()
    look("/demo/mailbox")
    look(f"/demo/mailbox/{id}")

"""Every screen of the gallery in Chromium: what axe finds, what one can hit, where things stand, what htmx does."""

from collections.abc import Callable, Mapping

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from app.web.render import CONTENT_SECURITY_POLICY
from tests.support.browser import Contexts, axe
from tests.support.gallery import GALLERY, NONCE, ROOT, render

pytestmark = pytest.mark.e2e

ORIGIN = "http://gallery.localhost"
WALK = [
    n
    for n, s in GALLERY.items()
    if s.frame.exit and not (s.frame.errors or s.frame.notice) and "look" not in n
]
Answer = Callable[[Route], None]


def show(route: Route, name: str, *, status: int = 200) -> None:
    """Answer with a screen: the part that htmx asks for, or the whole page."""
    is_part = route.request.headers.get("hx-request-type") == "partial"
    route.fulfill(
        status=status,
        body=render(GALLERY[name], "cancel/_fragment.html" if is_part else "cancel/show.html"),
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY.format(nonce=NONCE)},
    )


def serve(context: BrowserContext, answers: Mapping[str, Answer] | None = None) -> Page:
    """A page whose every request is answered here: `/survey` by that screen, `/static` from the files."""

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN).lstrip("/")
        if path.startswith("static/"):
            route.fulfill(path=ROOT / "static" / path.split("/", 2)[2])
        elif route.request.method + " " + path in (answers or {}):
            (answers or {})[route.request.method + " " + path](route)
        elif path in GALLERY:
            show(route, path)
        else:
            route.fulfill(path=ROOT / "static/img/icon.svg")

    context.route("**/*", answer)
    return context.new_page()


STEP = "cancel/s/cs_1/step"


# --- How it looks -------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 1280)])
@pytest.mark.parametrize("room", sorted({name.split("-")[0] for name in GALLERY}))
def test_no_screen_has_a_fault_that_a_machine_can_find(
    new_context: Contexts, room: str, scheme: str, width: int
) -> None:
    page = serve(new_context(color_scheme=scheme, width=width))
    for name in GALLERY:
        if name.split("-")[0] == room:
            page.goto(f"{ORIGIN}/{name}")
            axe(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                f"{name} scrolls sideways"
            )
            assert page.evaluate(TOO_SMALL) == [], f"{name} has targets under 44 px"


# The target of a choice is its whole row.
TOO_SMALL = """
[...document.querySelectorAll("a, button, input, textarea")].filter(e => e.checkVisibility()).filter(e => {
  const target = e.matches(".choice > input, .plain > input") ? e.parentElement : e;
  return target.getBoundingClientRect().height < 43.9;
}).map(e => e.outerHTML)
"""


@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_jumps_between_steps(new_context: Contexts, width: int) -> None:
    page = serve(new_context(width=width))
    places, exits = set(), set()
    for name in WALK:
        page.goto(f"{ORIGIN}/{name}")
        box = page.get_by_role("heading", level=1).bounding_box()
        leave = page.get_by_role("button", name="Cancel now").bounding_box()
        assert box is not None
        assert leave is not None
        places.add((round(box["x"]), round(box["y"])))
        exits.add(round(leave["x"]))
    assert len(places) == 1
    assert len(exits) == 1


def test_zoomed_text_still_fits(new_context: Contexts) -> None:
    page = serve(new_context(width=640))
    for name in ("survey-text-open", "offer-plan-chosen", "confirm-full", "look-long"):
        page.goto(f"{ORIGIN}/{name}")
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_a_merchant_can_insist_on_light(new_context: Contexts) -> None:
    page = serve(new_context(color_scheme="dark"))
    page.goto(f"{ORIGIN}/survey")
    grounds = []
    for scheme in ("auto", "light"):
        page.evaluate("scheme => document.documentElement.dataset.scheme = scheme", scheme)
        grounds.append(page.evaluate("getComputedStyle(document.querySelector('.sheet')).backgroundColor"))
    assert grounds == ["rgb(23, 26, 32)", "rgb(255, 255, 255)"]


# --- How it behaves -----------------------------------------------------------------------------


def test_the_follow_up_opens_without_scripts(new_context: Contexts) -> None:
    page = serve(new_context(javascript=False))
    page.goto(f"{ORIGIN}/survey")
    question = page.get_by_label("What is missing?")
    expect(question).to_be_hidden()
    page.get_by_label("Something I need is missing").check()
    expect(question).to_be_visible()
    page.get_by_label("It did not work as it should").check()
    expect(question).to_be_hidden()


def test_a_step_is_swapped_in_and_the_heading_gets_the_focus(new_context: Contexts) -> None:
    sent: list[str] = []

    def advance(route: Route) -> None:
        sent.append(route.request.post_data or "")
        show(route, "offer-discount")

    page = serve(new_context(height=400), {f"POST {STEP}": advance})
    page.goto(f"{ORIGIN}/survey")
    page.evaluate("window.stayed = true")
    page.get_by_label("I do not use it enough").check()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page).to_have_title("Half price while you find your rhythm? – Northwind Notes")
    assert page.evaluate("[window.stayed, scrollY]") == [True, 0]
    assert "reason=unused" in sent[0]
    assert "action=continue" in sent[0]


def test_cancel_now_takes_what_was_typed_along(new_context: Contexts) -> None:
    sent: list[str] = []

    def leave(route: Route) -> None:
        sent.append(route.request.post_data or "")
        show(route, "confirm-full")

    page = serve(new_context(), {f"POST {STEP}": leave})
    page.goto(f"{ORIGIN}/feedback")
    page.get_by_role("textbox").fill("It was fine")
    page.get_by_role("button", name="Cancel now").click()
    expect(page.get_by_role("button", name="Cancel my subscription")).to_be_visible()
    assert "feedback=It+was+fine" in sent[0]
    assert "action=cancel_now" in sent[0]


def test_mistakes_get_the_focus_and_lead_to_the_field(new_context: Contexts) -> None:
    page = serve(new_context(), {f"POST {STEP}": lambda route: show(route, "survey-error", status=422)})
    page.goto(f"{ORIGIN}/survey-required")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page).to_have_title("Error: What made you decide to cancel? – Northwind Notes")
    page.get_by_role("link", name="Choose a reason").click()
    expect(page.get_by_role("radio").first).to_be_focused()


def test_a_double_click_presses_one_button_of_one_screen(new_context: Contexts) -> None:
    posts: list[str] = []

    def advance(route: Route) -> None:
        posts.append(route.request.post_data or "")
        show(route, "confirm-full")

    page = serve(new_context(), {f"POST {STEP}": advance})
    page.goto(f"{ORIGIN}/message")
    button = page.get_by_role("button", name="Continue").bounding_box()
    assert button is not None
    x, y = button["x"] + 20, button["y"] + 20
    page.mouse.move(x, y)
    page.mouse.down(click_count=1)
    page.mouse.up(click_count=1)
    expect(page.get_by_role("button", name="Cancel my subscription")).to_be_visible()
    box = page.get_by_role("button", name="Cancel my subscription").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert len(posts) == 1


def test_a_lost_connection_is_said_and_nothing_is_lost(new_context: Contexts) -> None:
    page = serve(new_context(), {f"POST {STEP}": lambda route: route.abort()})
    page.goto(f"{ORIGIN}/feedback")
    page.get_by_role("textbox").fill("Still here")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#status")).to_contain_text("We could not reach the page")
    expect(page.get_by_role("textbox")).to_have_value("Still here")
    new_context.complaints.clear()  # htmx tells the console, too


def test_the_working_page_waits_quietly_and_then_says_what_became_of_it(new_context: Contexts) -> None:
    asked: list[int] = []

    def poll(route: Route) -> None:
        asked.append(1)
        show(route, "working-cancel" if len(asked) < 2 else "result-canceled")

    context = new_context()
    page = serve(context, {f"GET {STEP}": poll})
    page.clock.install()
    page.goto(f"{ORIGIN}/working-cancel")
    page.get_by_role("link", name="Check again").focus()
    with page.expect_response(f"{ORIGIN}/{STEP}"):
        page.clock.run_for(2_100)
    expect(page.get_by_role("heading", name="One moment, please")).not_to_be_focused()
    page.clock.run_for(2_100)
    expect(page.get_by_role("heading", name="Your subscription is canceled")).to_be_focused()

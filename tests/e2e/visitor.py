"""A customer in front of a browser: presses what is on screen, and looks at every page that comes.

Every arrival is checked for what must be true of any page: its heading is its title, and nothing scrolls sideways.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import Locator, Page, Request, expect

Look = Callable[[Page], None]
Heading = str | re.Pattern[str]
Sent = tuple[str, tuple[tuple[str, str], ...]]

OF_ONE_PAGE = ("csrf_token", "revision", "decision", "link")
OF_ONE_SESSION = re.compile(r"(cs|lnk|ver)_[0-9a-z]+|(?:cl|rcp)_[^/]+")


@dataclass
class Visitor:
    """`sent` gathers what was posted to the hosted page, without what differs from session to session."""

    page: Page
    shop: str
    look: Look = lambda page: None
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note)

    # --- At the shop

    def sign_in(self, name: str) -> None:
        self.page.goto(f"{self.shop}/demo")
        self.look(self.page)
        self.press(f"Sign in as {name}")
        self.page.get_by_role("link", name="Billing").click()
        self.arrive("Billing")

    def press_cancel(self, *, arrive_at: Heading) -> None:
        self.press("Cancel subscription")
        self.arrive(arrive_at)

    def come_back(self, notice: str) -> None:
        """Take the way back from a result, which the shop believes because of its signature."""
        self.page.get_by_role("link", name="Back to Northwind Notes").click()
        self.arrive("Billing")
        expect(self.page.get_by_role("status")).to_contain_text(notice)

    def plan(self, name: str) -> Locator:
        """A subscription's card on the billing page."""
        return self.page.get_by_role("article", name=name, exact=True)

    # --- On any page

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def choose(self, label: str) -> None:
        """Tick a choice by pressing its words. What stands beside them, such as a price, need not be given."""
        begins = re.compile(rf"^{re.escape(label)}\b")
        self.page.locator("label").filter(has_text=begins).click()
        expect(self.page.get_by_role("radio", name=begins)).to_be_checked()

    def type(self, label: str, text: str) -> None:
        """Put this into a field in place of what is there."""
        self.page.get_by_label(label, exact=True).fill(text)

    def follow(self, link: str, *, arrive_at: Heading) -> None:
        self.page.get_by_role("main").get_by_role("link", name=link, exact=True).click()
        self.arrive(arrive_at)

    def go_to(self, url: str, *, arrive_at: Heading, status: int = 200) -> None:
        """From the address bar, or from a mail program."""
        answer = self.page.goto(url)
        assert answer is not None
        assert answer.status == status
        self.arrive(arrive_at)

    def is_told(self, mistake: str) -> None:
        """What was sent was not right: the page has come again and says why."""
        expect(self.page.get_by_role("alert")).to_contain_text(mistake)
        expect(self.page).to_have_title(re.compile("^Error: "))
        self.look(self.page)

    def answer(self, button: str, *, arrive_at: Heading) -> None:
        self.press(button)
        self.arrive(arrive_at)

    def arrive(self, heading: Heading) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)
        expect(self.page).to_have_title(
            heading if isinstance(heading, re.Pattern) else re.compile(re.escape(heading))
        )
        self.look(self.page)

    def sees(self, text: str) -> None:
        expect(self.page.get_by_role("main")).to_contain_text(text)

    def does_not_see(self, *texts: str) -> None:
        for text in texts:
            expect(self.page.get_by_role("main")).not_to_contain_text(text)

    def _note(self, request: Request) -> None:
        path = urlsplit(request.url).path
        if request.method == "POST" and path.startswith("/cancel/"):
            # A native form ends lines with CR LF, a scripted one with LF; the server takes them for the same.
            fields = parse_qsl((request.post_data or "").replace("%0D%0A", "%0A"), keep_blank_values=True)
            kept = tuple(sorted(_alike(*pair) for pair in fields if pair[0] not in OF_ONE_PAGE))
            self.sent.append((OF_ONE_SESSION.sub(r"\1", path), kept))


def _alike(name: str, value: str) -> tuple[str, str]:
    """Of a code what shape it was typed in: it is another one each time."""
    return name, re.sub(r"\d", "0", value) if name == "code" else value

"""The shop's tools in one place, as its handlers get them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from litestar import Request

from demo.customers import DemoCustomer, find_customer
from demo.shop.billing import Billing
from demo.shop.config import ShopConfig
from demo.shop.journal import Journal
from demo.shop.leavewell import Leavewell
from demo.shop.render import Pages
from demo.shop.signin import COOKIE_NAME, SignIn, Visit

ShopRequest = Request[Any, Any, Any]


def utc_now() -> datetime:
    """The real time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Desk:
    """What a handler works with."""

    config: ShopConfig
    billing: Billing
    leavewell: Leavewell
    journal: Journal
    sign_in: SignIn
    pages: Pages
    now: Callable[[], datetime]

    def api_keys(self) -> list[str]:
        """Every key that may have signed what Leavewell sends."""
        return [keys.api_key for keys in self.config.keys.values()]

    def visit(self, request: ShopRequest) -> Visit:
        """Who is asking."""
        return self.sign_in.read(request.cookies.get(COOKIE_NAME))

    def customer(self, visit: Visit) -> DemoCustomer | None:
        """The customer who is signed in."""
        return find_customer(visit.customer_id) if visit.customer_id else None

    def frame(self, request: ShopRequest) -> dict[str, Any]:
        """What the layout needs on each page."""
        visit = self.visit(request)
        return {
            "visitor": self.customer(visit),
            "mode": visit.mode,
            "here": request.url.path,
            "support_email": self.config.support_email,
        }

    def origin(self, request: ShopRequest) -> str:
        """The shop's address as the visitor typed it: the sign-in cookie is there on the way back."""
        asked = f"{request.url.scheme}://{request.url.netloc}"
        return asked if asked in self.config.origins else self.config.origins[0]


def desk_of(request: ShopRequest) -> Desk:
    """The desk of the shop that serves this request."""
    desk: Desk = request.app.state.desk
    return desk

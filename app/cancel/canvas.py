"""What every screen of a session is drawn from: its standing, its visitor's words, figures. Decides nothing."""

from dataclasses import dataclass

from markupsafe import Markup

from app.cancel import screens as sc
from app.cancel.words import Wording
from app.core.direct import DirectSubscription
from app.core.facts import Fact
from app.core.merge import customer_names, fill
from app.core.money import Money
from app.core.offers import Charge, ShownOffer, escaped
from app.core.path import facts_of
from app.core.renewals import next_renewal, price_at
from app.core.state import SessionState
from app.core.world import Walk
from app.sessions.service import Standing
from app.web.copy import copy_for
from app.web.formats import formats_for
from app.web.forms import Form
from app.web.richtext import rich_text


@dataclass(frozen=True, slots=True)
class Drawing:
    """One session to be drawn: its standing, the words of its visitor, and what was typed if it has to be put right."""

    standing: Standing
    wording: Wording
    typed: Form | None = None
    return_link: sc.Link | None = None

    @property
    def walk(self) -> Walk:
        return self.standing.walk

    @property
    def state(self) -> SessionState:
        return self.standing.state

    @property
    def subscription(self) -> DirectSubscription | None:
        return self.walk.world.find_subscription(self.state.subscription_id)

    def t(self, key: str, **args: object) -> str:
        return self.wording.copy.t(key, **args)

    def given(self, name: str, otherwise: str | None) -> str:
        """What was just typed, else what is kept."""
        if self.typed is not None and name in self.typed:
            return self.typed.get(name)
        return otherwise or ""

    def said(self, text: str | None, otherwise: str) -> str:
        """The merchant's line with its merge fields filled in, else ours."""
        if text is None:
            return otherwise
        return fill(text, self._known()) or otherwise

    def rich(self, text: str | None) -> Markup | None:
        """The merchant's rich text, values escaped, sanitised."""
        return rich_text(fill(text, escaped(self._known()))) if text else None

    def _known(self) -> dict[str, Fact]:
        return {**facts_of(self.walk, self.state), **customer_names(self.walk.world.customer)}


def drawing_of(
    standing: Standing, *, typed: Form | None = None, return_link: sc.Link | None = None
) -> Drawing:
    locale = standing.row.locale
    wording = Wording(copy_for(locale), formats_for(locale), standing.brand_name)
    return Drawing(standing, wording, typed, return_link)


def plan_of(subscription: DirectSubscription | None) -> str | None:
    if subscription is None:
        return None
    names = [item.price.name for item in subscription.items if item.price.name]
    return " + ".join(names) or None


def price_of(drawing: Drawing, subscription: DirectSubscription | None) -> sc.Price | None:
    """What the next charge comes to, discounts included; None where it is not known."""
    if subscription is None:
        return None
    now = drawing.walk.now
    money = price_at(subscription, next_renewal(subscription, now) or now)
    every = subscription.interval
    if money is None:
        return None
    return sc.Price(money, every.interval if every else None, every.interval_count if every else 1)


def shown_price(shown: ShownOffer, money: Money | None) -> sc.Price | None:
    return sc.Price(money, shown.terms.interval, shown.terms.interval_count) if money is not None else None


def charge_of(charge: Charge | None) -> sc.Charge | None:
    return sc.Charge(charge.at, charge.money) if charge is not None else None

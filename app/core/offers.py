"""The offer as it is shown: words filled in, terms worked out. Stored, and exactly that is applied. Pure."""

import html
from datetime import datetime

from app.core.billing import Catalog
from app.core.direct import DirectCustomer, DirectSubscription
from app.core.facts import Facts
from app.core.flow import ContactOffer, Offer, OfferKind, RedirectOffer
from app.core.merge import customer_names, fill
from app.core.terms import Charge, Option, PauseWindow, Saving, Snapshot, Terms, terms

__all__ = [
    "Charge",
    "OfferKind",
    "Option",
    "PauseWindow",
    "Saving",
    "ShownLink",
    "ShownOffer",
    "Terms",
    "Wording",
    "present",
    "terms",
]


class Wording(Snapshot):
    """The merchant's words, merge fields filled in; what is None the page says in its own.

    `body` is rich text with the filled-in values escaped, still to be sanitised; the rest is plain.
    """

    headline: str | None = None
    body: str | None = None
    cta: str | None = None
    decline_cta: str | None = None


class ShownLink(Snapshot):
    """Where a contact or redirect offer leads; without url and email, to the organization's own contact."""

    url: str | None = None
    email: str | None = None
    label: str | None = None


class ShownOffer(Snapshot):
    """One offer, as one customer saw it. Reads back from its own JSON exactly."""

    decision_id: str
    offer_id: str
    kind: OfferKind
    placement: str
    wording: Wording = Wording()
    terms: Terms = Terms()
    link: ShownLink | None = None

    @property
    def options(self) -> tuple[Option, ...]:
        """The ways to take it that were listed; none where it changes nothing or a date is picked."""
        return self.terms.options

    @property
    def has_change(self) -> bool:
        """Whether taking it changes the subscription. A contact or redirect offer only leads somewhere."""
        return bool(self.options) or self.terms.pause_window is not None

    def find_option(self, option_id: str | None) -> Option | None:
        """What was chosen: an option's id, the ISO date of a pause's end, or, of one option, nothing."""
        if self.terms.pause_window is not None:
            return self.terms.pause_window.option(option_id or "")
        if option_id is None and len(self.options) == 1:
            return self.options[0]
        return next((option for option in self.options if option.id == option_id), None)


def present(
    offer: Offer,
    *,
    decision_id: str,
    placement: str,
    subscription: DirectSubscription,
    customer: DirectCustomer | None,
    catalog: Catalog,
    facts: Facts,
    now: datetime,
) -> ShownOffer:
    """Work an eligible offer out for this customer, words and figures."""
    known = {**facts, **customer_names(customer)}
    worked_out = terms(offer, subscription=subscription, catalog=catalog, now=now)
    return ShownOffer(
        decision_id=decision_id,
        offer_id=offer.id,
        kind=OfferKind(offer.kind),
        placement=placement,
        wording=_wording(offer, known),
        terms=worked_out.model_copy(
            update={"options": tuple(_filled(option, known) for option in worked_out.options)}
        ),
        link=_link(offer, known),
    )


def _wording(offer: Offer, facts: Facts) -> Wording:
    said = offer.wording
    return Wording(
        headline=_fill(said.headline, facts),
        body=fill(said.body, escaped(facts)) if said.body else None,
        cta=_fill(said.cta, facts),
        decline_cta=_fill(said.decline_cta, facts),
    )


def _filled(option: Option, facts: Facts) -> Option:
    features = tuple(fill(feature, facts) for feature in option.features)
    return option.model_copy(update={"tagline": _fill(option.tagline, facts), "features": features})


def _link(offer: Offer, facts: Facts) -> ShownLink | None:
    match offer:
        case ContactOffer():
            return ShownLink(url=offer.url, email=offer.email, label=_fill(offer.label, facts))
        case RedirectOffer():
            return ShownLink(url=offer.url, label=_fill(offer.label, facts))
        case _:
            return None


def _fill(text: str | None, facts: Facts) -> str | None:
    return fill(text, facts) if text is not None else None


def escaped(facts: Facts) -> Facts:
    """The facts for filling rich text: markup in a value becomes text."""
    return {name: html.escape(value) if isinstance(value, str) else value for name, value in facts.items()}

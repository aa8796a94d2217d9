"""Draws an offer as it was shown and recorded: nothing is worked out anew."""

from datetime import timedelta
from urllib.parse import urlsplit

from app.cancel import screens as sc
from app.cancel.canvas import Drawing
from app.core.offers import OfferKind, Option, ShownOffer
from app.core.summary import charge_of, plan_of, shown_price
from app.web.richtext import rich_text


def draw_offer(drawing: Drawing, shown: ShownOffer) -> sc.Offer:
    card = _card(drawing, shown)
    saving = card.saving if isinstance(card, sc.DiscountCard) else ""
    said = shown.wording
    return sc.Offer(
        title=said.headline or drawing.t(f"offer.{shown.kind}.title"),
        decision=shown.decision_id,
        card=card,
        accept_label=said.cta or drawing.t(f"offer.{shown.kind}.accept", saving=saving),
        decline_label=said.decline_cta or drawing.t(f"offer.{shown.kind}.decline"),
        body=rich_text(said.body) if said.body else None,
    )


def _card(drawing: Drawing, shown: ShownOffer) -> sc.OfferCard:
    terms = shown.terms
    record = drawing.state.offer(shown.decision_id)
    chosen = drawing.given("option", record.option_id if record else None) or None
    match shown.kind:
        case OfferKind.DISCOUNT:
            return _discount(drawing, shown)
        case OfferKind.PAUSE:
            window = terms.pause_window
            return sc.PauseCard(
                price=shown_price(shown, terms.price_now),
                options=tuple(
                    sc.PauseOption(o.id, o.unit, o.count, o.resumes_at, o.renews_at)
                    for o in terms.options
                    if o.unit and o.count and o.resumes_at
                ),
                earliest=window.earliest if window else None,
                latest=window.latest if window else None,
                chosen=chosen,
                renews_before=terms.renews_before,
            )
        case OfferKind.PLAN_CHANGE:
            return sc.PlanChangeCard(
                plan=plan_of(drawing.subscription) or "",
                price=shown_price(shown, terms.price_now),
                tiles=tuple(_tile(shown, option) for option in terms.options),
                starts_at=terms.starts_at,
                chosen=chosen,
                tax=terms.tax,
            )
        case OfferKind.TRIAL_EXTENSION:
            before, after = terms.trial_ends_before, terms.trial_ends_after
            if before is None or after is None:
                raise ValueError("a trial extension is shown with both its dates")
            return sc.TrialExtensionCard(
                days=round((after - before) / timedelta(days=1)),
                ends_before=before,
                ends_after=after,
                first_charge=charge_of(terms.next_charge),
            )
        case OfferKind.CONTACT:
            link = onward(drawing, shown)
            is_email = link is not None and link.href.startswith("mailto:")
            return sc.ContactCard(label=link.label if link else "", place=_place(link), is_email=is_email)
        case OfferKind.REDIRECT:
            link = onward(drawing, shown)
            return sc.RedirectCard(label=link.label if link else "", place=_place(link))


def _discount(drawing: Drawing, shown: ShownOffer) -> sc.DiscountCard:
    terms = shown.terms
    before, after = shown_price(shown, terms.price_now), shown_price(shown, terms.price_after)
    if terms.saving is None or before is None or after is None:
        raise ValueError("a discount is shown with its saving and both prices")
    return sc.DiscountCard(
        saving=saving_in_words(drawing, shown),
        duration=terms.saving.duration,
        months=terms.saving.months,
        price_before=before,
        price_after=after,
        next_charge=charge_of(terms.next_charge),
        back_to=charge_of(terms.back_to),
        tax=terms.tax,
    )


def saving_in_words(drawing: Drawing, shown: ShownOffer) -> str:
    saving = shown.terms.saving
    if saving is None:
        return ""
    if saving.amount is not None:
        return drawing.wording.formats.money(saving.amount)
    return drawing.wording.formats.percent(saving.percent) if saving.percent is not None else ""


def _tile(shown: ShownOffer, option: Option) -> sc.PlanTile:
    price = shown_price(shown, option.price)
    if price is None:
        raise ValueError("a plan is shown with its price")
    return sc.PlanTile(
        id=option.id,
        name=option.name or option.id,
        price=price,
        tagline=option.tagline,
        features=option.features,
        list_price=option.list_price,
    )


def onward(drawing: Drawing, shown: ShownOffer) -> sc.Link | None:
    """Where an accepted contact or redirect offer leads."""
    link = shown.link
    if link is not None and link.url:
        return sc.Link(link.label or _host(link.url), link.url)
    email = link.email if link is not None else None
    environment = drawing.standing.environment
    if email is None and environment.contact_url and not environment.contact_email:
        return sc.Link(
            (link.label if link else None) or _host(environment.contact_url), environment.contact_url
        )
    email = email or environment.contact_email
    return sc.Link((link.label if link else None) or email, f"mailto:{email}") if email else None


def _place(link: sc.Link | None) -> str:
    if link is None:
        return ""
    return link.href.removeprefix("mailto:") if link.href.startswith("mailto:") else _host(link.href)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url

"""The shop as a customer sees it: front door, notes, billing, and the way to the cancel page."""

import secrets
from typing import Any, Final

from litestar import HttpMethod, Response, post, route
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from demo.customers import ADDRESSES, CUSTOMERS, DemoCustomer, find_customer
from demo.shop.billing import BillingDown, BillingRefused
from demo.shop.config import is_mode
from demo.shop.desk import Desk, ShopRequest, desk_of
from demo.shop.events import Happening, tell
from demo.shop.forms import form_field, local_path, see_other, to_sign_in
from demo.shop.leavewell import MintFailed
from demo.shop.notes import notes_on_the_desk
from demo.shop.outcomes import DONE, NOTICES, Notice
from demo.shop.plans import Plan, describe
from demo.shop.proofs import is_return_signature
from demo.shop.signin import Visit

Answer = Response[Any]

_READ: Final = (HttpMethod.GET, HttpMethod.HEAD)
_HISTORY_LENGTH: Final = 8
_ACTIONS: Final = {"undo": "uncancel", "resume": "resume"}
_DONE: Final = {"undo": "undone", "resume": "resumed"}


@route("/demo", http_method=_READ)
async def front_door(request: ShopRequest) -> Answer:
    """What the product is, and six people to be."""
    desk = desk_of(request)
    then = local_path(request.query_params.get("then"), otherwise="")
    return desk.pages.page("front.html", customers=CUSTOMERS, then=then, **desk.frame(request))


@post("/demo/sign-in")
async def sign_in(request: ShopRequest) -> Answer:
    """Be one of the six."""
    desk = desk_of(request)
    customer = find_customer(await form_field(request, "customer"))
    if customer is None:
        raise NotFoundException("There is no such customer here.")
    visit = Visit(customer.id, desk.visit(request).mode)
    then = local_path(await form_field(request, "then"), otherwise="/demo/notes")
    return see_other(then, cookies=[desk.sign_in.cookie(visit)])


@post("/demo/sign-out")
async def sign_out(request: ShopRequest) -> Answer:
    """Be nobody again, in the same mode."""
    desk = desk_of(request)
    return see_other("/demo", cookies=[desk.sign_in.cookie(Visit(None, desk.visit(request).mode))])


@post("/demo/mode")
async def switch_mode(request: ShopRequest) -> Answer:
    """Between test and live data; back to the page one was on."""
    desk = desk_of(request)
    mode = await form_field(request, "mode")
    visit = desk.visit(request)
    back = local_path(await form_field(request, "back"), otherwise="/demo")
    wanted = mode if is_mode(mode) else visit.mode
    return see_other(back, cookies=[desk.sign_in.cookie(Visit(visit.customer_id, wanted))])


@route("/demo/notes", http_method=_READ)
async def notes(request: ShopRequest) -> Answer:
    """The app's home."""
    desk = desk_of(request)
    visit = desk.visit(request)
    customer = desk.customer(visit)
    if customer is None:
        return to_sign_in(request)
    cards = notes_on_the_desk(CUSTOMERS.index(customer))
    count = customer.attributes.get("notesCount", len(cards))
    return desk.pages.page("notes.html", notes=cards, notes_count=count, **desk.frame(request))


@route("/demo/billing", http_method=_READ)
async def billing(request: ShopRequest) -> Answer:
    """What is really at the billing service, and the ways to change it."""
    desk = desk_of(request)
    visit = desk.visit(request)
    customer = desk.customer(visit)
    if customer is None:
        return to_sign_in(request)
    frame = desk.frame(request)
    notice = _notice(request, desk)
    try:
        subscriptions = await desk.billing.list_subscriptions(visit.mode, customer.id)
        plans = [describe(subscription, now=desk.now()) for subscription in subscriptions]
        history = await _history(desk, visit, plans)
    except BillingDown:
        return desk.pages.page("billing_down.html", status=503, notice=notice, **frame)
    return desk.pages.page(
        "billing.html",
        plans=plans,
        history=history,
        can_cancel=any(not plan.has_ended for plan in plans),
        notice=notice,
        **frame,
    )


async def _history(desk: Desk, visit: Visit, plans: list[Plan]) -> list[Happening]:
    """What was changed lately, newest first."""
    happenings = [
        tell(event, plan=plan.name)
        for plan in plans
        for event in await desk.billing.list_events(visit.mode, plan.id)
    ]
    return sorted(happenings, key=lambda happening: happening.at, reverse=True)[:_HISTORY_LENGTH]


def _notice(request: ShopRequest, desk: Desk) -> Notice | None:
    """For one who comes back from Leavewell with a true signature, or from a button of this page."""
    query = request.query_params
    if "sig" not in query:
        return DONE.get(query.get("done", ""))
    session, result, t = query.get("session", ""), query.get("result", ""), query.get("t", "")
    is_true = is_return_signature(
        query["sig"], session=session, result=result, t=t, api_keys=desk.api_keys(), now=desk.now()
    )
    desk.journal.note(
        at=desk.now(),
        direction="from Leavewell",
        what="The customer comes back",
        request_line="GET /demo/billing",
        headers={},
        request_body={"result": result, "session": session, "t": t, "sig": query["sig"]},
        status=200,
        answer_body=None,
        remark="Signature is true." if is_true else "Signature is false or too old: no notice is shown.",
    )
    return NOTICES.get(result) if is_true else None


@post("/demo/billing/cancel")
async def cancel(request: ShopRequest) -> Answer:
    """*Cancel subscription*: mint a link and send the customer there."""
    desk = desk_of(request)
    visit = desk.visit(request)
    customer = desk.customer(visit)
    if customer is None:
        return see_other("/demo?then=/demo/billing")
    frame = desk.frame(request)
    try:
        billing_data = await _billing_data(desk, visit, customer) if desk.config.sends_billing_data else None
        url = await desk.leavewell.mint(
            desk.config.keys[visit.mode],
            customer_id=desk.config.billing_id(customer.id),
            subscription_id=await form_field(request, "subscription") or None,
            return_url=f"{desk.origin(request)}/demo/billing",
            now=desk.now(),
            billing_data=billing_data,
        )
    except BillingDown:
        return desk.pages.page("billing_down.html", status=503, notice=None, **frame)
    except MintFailed as failure:
        return desk.pages.page("mint_failed.html", status=502, said=failure.message, **frame)
    return see_other(url)


async def _billing_data(desk: Desk, visit: Visit, customer: DemoCustomer) -> dict[str, Any]:
    """The customer and the subscriptions, in Direct shapes, as the billing service holds them."""
    return {
        "customer": await desk.billing.find_customer(visit.mode, customer.id) or {"id": customer.id},
        "subscriptions": await desk.billing.list_subscriptions(visit.mode, customer.id),
    }


@post("/demo/billing/{action:str}")
async def take_back(request: ShopRequest, action: FromPath[str]) -> Answer:
    """Undo a cancellation, or start a paused plan again: straight at the billing service."""
    desk = desk_of(request)
    visit = desk.visit(request)
    customer = desk.customer(visit)
    if customer is None:
        return see_other("/demo?then=/demo/billing")
    if action not in _ACTIONS:
        raise NotFoundException("There is nothing here.")
    subscription_id = await form_field(request, "subscription")
    frame = desk.frame(request)
    try:
        owned = await desk.billing.list_subscriptions(visit.mode, customer.id)
        if subscription_id not in [subscription["id"] for subscription in owned]:
            raise NotFoundException("There is no such subscription here.")
        key = f"shop_{secrets.token_hex(12)}"
        await desk.billing.act(visit.mode, subscription_id, _ACTIONS[action], {}, idempotency_key=key)
    except BillingDown:
        return desk.pages.page("billing_down.html", status=503, notice=None, **frame)
    except BillingRefused as refusal:
        return desk.pages.page("refused.html", status=409, said=refusal.message, **frame)
    return see_other(f"/demo/billing?done={_DONE[action]}")


@route("/demo/backstage", http_method=_READ)
async def backstage(request: ShopRequest) -> Answer:
    """For integrators: the last requests between shop and Leavewell. Customers appear, so behind sign-in."""
    desk = desk_of(request)
    visit = desk.visit(request)
    if desk.customer(visit) is None:
        return to_sign_in(request)
    keys = desk.config.keys[visit.mode]
    return desk.pages.page(
        "backstage.html",
        exchanges=list(desk.journal),
        app_id=keys.app_id,
        leavewell_url=desk.config.leavewell_url,
        provider=desk.config.provider,
        **desk.frame(request),
    )


@route("/demo/help/cancel-without-signing-in", http_method=_READ)
async def help_article(request: ShopRequest) -> Answer:
    """As a help centre has it: the way out for whoever cannot sign in, the same address for everybody."""
    desk = desk_of(request)
    keys = desk.config.keys[desk.visit(request).mode]
    return desk.pages.page(
        "help.html",
        entry_url=f"{desk.config.leavewell_url}/cancel/{keys.app_id}",
        to_try=ADDRESSES,
        **desk.frame(request),
    )

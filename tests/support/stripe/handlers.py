"""What Stripe answers at each address: customers, subscriptions, prices, coupons, previews."""

import json
import re
from datetime import timedelta
from typing import Any, Final

from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask
from tests.support.stripe.objects import NEVER, fresh_id, new_coupon, period_end, sent, stamp, tables
from tests.support.stripe.params import Params, Refusal, number, required, strings
from tests.support.stripe.timeline import off, reduced, revalue
from tests.support.stripe.updates import end_now, find_coupon, find_price, item_of, update

ACCOUNT: Final = "acct_1SimNorthwind"
SEARCHABLE_AFTER: Final = timedelta(minutes=1)
_BY_EMAIL: Final = re.compile(r'\s*email\s*:\s*(?:"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\')\s*')


def account(books: Books, ask: Ask, params: Params) -> Answer:
    return Answer(
        {
            "id": ACCOUNT,
            "object": "account",
            "business_profile": {"name": "Northwind Notes"},
            "country": "US",
            "email": "billing@northwind.example",
            "settings": {"dashboard": {"display_name": "Northwind Notes", "timezone": "Etc/UTC"}},
            "type": "standard",
        }
    )


def customer(books: Books, ask: Ask, params: Params) -> Answer:
    return Answer(sent(books.state, _one(books, ask, "customers"), strings(params.get("expand"))))


def list_customers(books: Books, ask: Ask, params: Params) -> Answer:
    found = list(books.state["customers"].values())
    if "email" in params:
        found = [one for one in found if one["email"] == params["email"]]
    return _page(books, "/v1/customers", found, params)


def search(books: Books, ask: Ask, params: Params) -> Answer:
    """Knows each customer as of a minute ago, and compares without case."""
    query = _BY_EMAIL.fullmatch(required(params, "query"))
    if query is None:
        raise Refusal("We were unable to parse your search query.", param="query")
    wanted = re.sub(r"\\(.)", r"\1", query[1] or query[2] or "").lower()
    as_of = stamp(ask.now - SEARCHABLE_AFTER)
    found = []
    for name, history in books.state["indexed"].items():
        known = [email for at, email in history if at <= as_of]
        if known and (known[-1] or "").lower() == wanted and name in books.state["customers"]:
            found.append(books.state["customers"][name])
    limit = number(params, "limit", at_least=1, at_most=100) or 10
    data = [sent(books.state, one) for one in found[:limit]]
    return Answer(
        {
            "object": "search_result",
            "url": "/v1/customers/search",
            "has_more": len(found) > limit,
            "next_page": "page_2" if len(found) > limit else None,
            "data": data,
        }
    )


def subscription(books: Books, ask: Ask, params: Params) -> Answer:
    return Answer(sent(books.state, _one(books, ask, "subscriptions"), strings(params.get("expand"))))


def list_subscriptions(books: Books, ask: Ask, params: Params) -> Answer:
    found = list(books.state["subscriptions"].values())
    customer = params.get("customer")
    if customer is not None and customer not in books.state["customers"]:
        raise Refusal(f"No such customer: '{customer}'", code="resource_missing", param="customer")
    if customer is not None:
        found = [one for one in found if one["customer"] == customer]
    match params.get("status"):
        case None:
            found = [one for one in found if one["status"] not in ("canceled", "incomplete_expired")]
        case "all":
            pass
        case wanted:
            found = [one for one in found if one["status"] == wanted]
    return _page(books, "/v1/subscriptions", found, params)


def update_subscription(books: Books, ask: Ask, params: Params) -> Answer:
    _one(books, ask, "subscriptions")
    with books.commit() as state:
        subscription = tables(state)["subscriptions"][ask.ids["id"]]
        change = update(state, subscription, params, ask.now)
        answer = Answer(sent(state, subscription, strings(params.get("expand"))))
    if change is not None:
        books.record(ask.ids["id"], change, _effect_of(ask), ask.now)
    return answer


def cancel_subscription(books: Books, ask: Ask, params: Params) -> Answer:
    if _one(books, ask, "subscriptions")["status"] == "canceled":
        raise _missing("subscription", ask.ids["id"])
    with books.commit() as state:
        subscription = tables(state)["subscriptions"][ask.ids["id"]]
        end_now(subscription, ask.now)
        answer = Answer(sent(state, subscription, strings(params.get("expand"))))
    books.record(ask.ids["id"], "cancel", _effect_of(ask), ask.now)
    return answer


def price(books: Books, ask: Ask, params: Params) -> Answer:
    return Answer(sent(books.state, _one(books, ask, "prices"), strings(params.get("expand"))))


def list_prices(books: Books, ask: Ask, params: Params) -> Answer:
    found = list(books.state["prices"].values())
    if "active" in params:
        found = [one for one in found if one["active"] is (params["active"] == "true")]
    if "type" in params:
        found = [one for one in found if one["type"] == params["type"]]
    return _page(books, "/v1/prices", found, params)


def coupon(books: Books, ask: Ask, params: Params) -> Answer:
    found = _one(books, ask, "coupons")
    revalue(found, ask.now)
    return Answer(sent(books.state, found, strings(params.get("expand"))))


def list_coupons(books: Books, ask: Ask, params: Params) -> Answer:
    found = list(books.state["coupons"].values())
    for one in found:
        revalue(one, ask.now)
    return _page(books, "/v1/coupons", found, params)


def make_coupon(books: Books, ask: Ask, params: Params) -> Answer:
    if ("percent_off" in params) == ("amount_off" in params):
        raise Refusal("You must pass either percent_off or amount_off.", code="parameter_missing")
    redeem_by, months = number(params, "redeem_by"), number(params, "duration_in_months", at_least=1)
    if redeem_by is not None and redeem_by <= stamp(ask.now):
        raise Refusal("Invalid timestamp: must be in the future.", param="redeem_by")
    duration = params.get("duration", "once")
    if (duration == "repeating") != (months is not None):
        raise Refusal(
            "duration_in_months is for repeating coupons, and they need it.", param="duration_in_months"
        )
    if len(params.get("name", "")) > 40:
        raise Refusal("Invalid string: must be at most 40 characters.", param="name")
    percent = float(params["percent_off"]) if "percent_off" in params else None
    if percent is not None and not 0 < percent <= 100:
        raise Refusal("Invalid percent_off.", param="percent_off")
    with books.commit() as state:
        name = params.get("id") or fresh_id(tables(state), "co")
        if name in tables(state)["coupons"]:
            raise Refusal("Coupon already exists.", code="resource_already_exists", param="id")
        state["coupons"][name] = new_coupon(
            name,
            name=params.get("name"),
            percent_off=percent,
            amount_off=number(params, "amount_off", at_least=1),
            currency=required(params, "currency") if "amount_off" in params else None,
            duration=duration,
            months=months,
            livemode=books.mode == "live",
            max_redemptions=number(params, "max_redemptions", at_least=1),
            redeem_by=redeem_by,
            metadata=params.get("metadata"),
            created=stamp(ask.now),
        )
        return Answer(sent(state, state["coupons"][name], strings(params.get("expand"))))


def delete_coupon(books: Books, ask: Ask, params: Params) -> Answer:
    _one(books, ask, "coupons")
    with books.commit() as state:
        del tables(state)["coupons"][ask.ids["id"]]
    return Answer({"id": ask.ids["id"], "object": "coupon", "deleted": True})


def preview(books: Books, ask: Ask, params: Params) -> Answer:
    state = books.state
    name = required(params, "subscription")
    stored = state["subscriptions"].get(name)
    if stored is None:
        raise _missing("subscription", name)
    if stored["status"] == "canceled" or (stored["cancel_at"] or NEVER) <= period_end(stored):
        raise Refusal(
            f"No upcoming invoices for customer: {stored['customer']}",
            code="invoice_upcoming_none",
            status=404,
        )
    subscription = json.loads(json.dumps(stored))
    for place, given in enumerate(params.get("subscription_details", {}).get("items", [])):
        where = f"subscription_details[items][{place}]"
        item = item_of(subscription, given.get("id"), f"{where}[id]")
        if "price" in given:
            item["price"] = find_price(state, given["price"], subscription, f"{where}[price]")
        if "quantity" in given:
            item["quantity"] = number(given, "quantity", at_least=0)
    whole = reduced(state, subscription, [])
    after = reduced(state, subscription, subscription["discounts"])
    if isinstance(params.get("discounts"), list):
        after = whole
        for place, one in enumerate(params["discounts"]):
            param = f"discounts[{place}][coupon]"
            after -= off(
                find_coupon(state, str(one.get("coupon")), subscription["currency"], ask.now, param), after
            )
    return Answer(_upcoming(state, subscription, whole, after))


def _upcoming(state: Document, subscription: Document, whole: int, after: int) -> Document:
    """The invoice to come. `state["tax"]` is a percentage and its behaviour, where a test wants some."""
    begins = period_end(subscription)
    item = subscription["items"]["data"][0]
    percent, behavior = state.get("tax") or (0, "exclusive")
    tax = after * percent // (100 + percent if behavior == "inclusive" else 100)
    total = after + (tax if behavior == "exclusive" else 0)
    taxes = [{"amount": tax, "tax_behavior": behavior, "taxable_amount": after, "type": "tax_rate_details"}]
    return {
        "id": "upcoming_in_simulated",
        "object": "invoice",
        "amount_due": total,
        "created": begins,
        "currency": subscription["currency"],
        "customer": subscription["customer"],
        "lines": {
            "object": "list",
            "has_more": False,
            "data": [
                {
                    "id": "il_tmp_simulated",
                    "object": "line_item",
                    "amount": whole,
                    "discount_amounts": [{"amount": whole - after, "discount": "di_tmp"}]
                    if after != whole
                    else [],
                    "parent": {
                        "type": "subscription_item_details",
                        "invoice_item_details": None,
                        "subscription_item_details": {
                            "proration": False,
                            "subscription": subscription["id"],
                            "subscription_item": item["id"],
                        },
                    },
                    "period": {"start": begins, "end": begins + 86_400},
                    "quantity": item["quantity"],
                }
            ],
        },
        "period_end": begins,
        "status": "draft",
        "subtotal": whole,
        "total": total,
        "total_taxes": taxes if percent else [],
    }


def _page(books: Books, url: str, found: list[Document], params: Params) -> Answer:
    """Newest first; the next page begins after the object that is named."""
    found = sorted(found, key=lambda one: (one["created"], one["id"]), reverse=True)
    limit = number(params, "limit", at_least=1, at_most=100) or 10
    begin = 0
    if "starting_after" in params:
        names = [one["id"] for one in found]
        if params["starting_after"] not in names:
            raise _missing("object", params["starting_after"])
        begin = names.index(params["starting_after"]) + 1
    expand = strings(params.get("expand"))
    page: dict[str, Any] = {
        "object": "list",
        "url": url,
        "has_more": len(found) > begin + limit,
        "data": [],
    }
    for path in expand:
        if not path.startswith("data."):
            raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
        if path.count(".") > 3:
            raise Refusal(f"You cannot expand more than 4 levels of properties: {path}.", param="expand")
    inner = [path.removeprefix("data.") for path in expand]
    page["data"] = [sent(books.state, one, inner) for one in found[begin : begin + limit]]
    return Answer(page)


def _one(books: Books, ask: Ask, table: str) -> Document:
    found: Document | None = books.state[table].get(ask.ids["id"])
    if found is None:
        raise _missing(table.rstrip("s"), ask.ids["id"])
    return found


def _missing(what: str, name: str) -> Refusal:
    return Refusal(f"No such {what}: '{name}'", code="resource_missing", param="id", status=404)


def _effect_of(ask: Ask) -> str:
    """The effect id that the key was made from."""
    return ask.headers.get("idempotency-key", "").partition(":")[0]

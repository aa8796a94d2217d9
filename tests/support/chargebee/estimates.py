"""Chargebee's estimates: the same as the writes, on a copy, and what the next invoice would come to."""

import copy

from tests.support.chargebee import operations, terms
from tests.support.chargebee.invoices import invoice
from tests.support.chargebee.objects import seconds
from tests.support.chargebee.params import Form, Refusal, missing, percentage
from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask

_DISCOUNT = {
    f"discounts[{name}]"
    for name in (
        "percentage",
        "amount",
        "apply_on",
        "duration_type",
        "period",
        "period_unit",
        "operation_type",
    )
}


def update_subscription_for_items(books: Books, ask: Ask) -> Answer:
    form = Form(
        ask.form(),
        {*operations.UPDATE_USABLE, *_DISCOUNT, "subscription[id]", "use_existing_balances"},
        {*operations.UPDATE_KNOWN, "include_delayed_charges"},
    )
    state = copy.deepcopy(books.state)
    found = state["subscriptions"].get(form.required("subscription[id]"))
    if found is None:
        raise missing("Subscription", form.text("subscription[id]"))
    rhythm = (found["billing_period"], found["billing_period_unit"])
    is_other_plan = operations.change_items(state, found, form, seconds(ask.now))
    operations.put_coupons(state, found, form.each("coupon_ids"), seconds(ask.now))
    manual = [_manual(state, form)] if form.each("discounts[operation_type]") else []
    estimate = _estimate(state, found, manual)
    if is_other_plan and (found["billing_period"], found["billing_period_unit"]) != rhythm:
        estimate["invoice_estimate"] = estimate.pop("next_invoice_estimate")
    setup = state["settings"]["setup_charges"].get(found["subscription_items"][0]["item_price_id"])
    if is_other_plan and setup:
        charge = {"entity_type": "charge_item_price", "amount": setup, "object": "line_item"}
        estimate["invoice_estimate"] = {"object": "invoice_estimate", "total": setup, "line_items": [charge]}
    return Answer({"estimate": estimate})


def change_term_end_estimate(books: Books, ask: Ask) -> Answer:
    state = copy.deepcopy(books.state)
    found = operations.taken(state, ask)
    form = Form(ask.form(), {"term_ends_at", "prorate", "invoice_immediately"})
    operations.move_term_end(found, form, seconds(ask.now))
    return Answer({"estimate": _estimate(state, found, [])})


def pause_subscription_estimate(books: Books, ask: Ask) -> Answer:
    state = copy.deepcopy(books.state)
    found = operations.taken(state, ask)
    form = Form(
        ask.form(),
        {"pause_option", "subscription[resume_date]"},
        {"subscription[pause_date]", "subscription[skip_billing_cycles]", "unbilled_charges_handling"},
    )
    operations.set_pause(state, found, form, "subscription[resume_date]", seconds(ask.now))
    estimate = _estimate(state, found, [])
    del estimate["next_invoice_estimate"]
    return Answer({"estimate": estimate})


def _manual(state: Document, form: Form) -> Document:
    if not state["settings"]["manual_discounts"]:
        raise Refusal("Manual discounts are not enabled for your site", "configuration_incompatible")
    assert form.each("discounts[operation_type]") == ["add"]
    if form.each("discounts[percentage]"):
        value = percentage("discounts[percentage][0]", form.each("discounts[percentage]")[0])
        return {"discount_type": "percentage", "discount_percentage": value}
    return {"discount_type": "fixed_amount", "discount_amount": int(form.each("discounts[amount]")[0])}


def _estimate(state: Document, found: Document, manual: list[Document]) -> Document:
    """The term that begins next: coupons that have run out by then take nothing off."""
    at = found.get("next_billing_at") or found["current_term_end"]
    used = [
        state["coupons"][each["coupon_id"]]
        for each in found["coupons"]
        if each.get("apply_till", at + 1) > at and each["coupon_id"] in state["coupons"]
    ]
    billed = invoice(found, found["subscription_items"], [*used, *manual], state["settings"]["tax"])
    billed |= {"date": at, "line_items": [line | _served(found, at) for line in billed["line_items"]]}
    kept = ("id", "currency_code", "status", "next_billing_at", "pause_date", "resume_date")
    stands = {"object": "subscription_estimate", **{key: found[key] for key in kept if key in found}}
    return {
        "object": "estimate",
        "created_at": at,
        "subscription_estimate": stands,
        "next_invoice_estimate": billed,
    }


def _served(found: Document, at: int) -> Document:
    until = terms.later(at, found["billing_period_unit"], found["billing_period"])
    return {"date_from": at, "date_to": until}

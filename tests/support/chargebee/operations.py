"""Chargebee's writes, as its API documentation describes them. Each handler is one POST."""

from collections.abc import Sequence
from typing import Final

from tests.support.chargebee import terms
from tests.support.chargebee.objects import seconds
from tests.support.chargebee.params import Form, Refusal, missing, percentage, wrong
from tests.support.simulator.books import Books, Document
from tests.support.simulator.http import Answer, Ask

CANCEL_OPTIONS: Final = ("immediately", "end_of_term", "specific_date", "end_of_billing_term")
PAUSE_OPTIONS: Final = ("immediately", "end_of_term", "specific_date", "billing_cycles")
PAUSED: Final = "Subscription pause feature is currently disabled for you."
# Parameters of update_for_items that exist, and that nobody has needed here yet.
UPDATE_KNOWN: Final = frozenset(
    {
        "auto_collection", "auto_close_invoices", "billing_alignment_mode", "billing_cycles", "change_option",
        "changes_scheduled_at", "coupon", "end_of_term", "force_term_reset", "free_period", "free_period_unit",
        "invoice_date", "invoice_notes", "mandatory_items_to_remove", "meta_data", "net_term_days", "po_number",
        "reactivate", "reactivate_from", "setup_fee", "start_date", "terms_to_charge", "token_id", "trial_end",
        "trial_end_action", "subscription_items[unit_price]", "subscription_items[billing_cycles]",
    }
)  # fmt: skip
UPDATE_USABLE: Final = frozenset(
    {
        "subscription_items[item_price_id]", "subscription_items[quantity]", "replace_items_list", "coupon_ids",
        "replace_coupon_list", "prorate", "invoice_immediately",
    }
)  # fmt: skip


def answer(state: Document, subscription: Document) -> Answer:
    owner = state["customers"][subscription["customer_id"]]
    return Answer({"subscription": subscription, "customer": owner})


def taken(state: Document, ask: Ask) -> Document:
    """The subscription that a write is about."""
    found: Document | None = state["subscriptions"].get(ask.ids["id"])
    if found is None or found["deleted"]:
        raise missing("Subscription", ask.ids["id"])
    return found


def touch(subscription: Document, ask: Ask) -> None:
    now = seconds(ask.now)
    subscription |= {"updated_at": now, "resource_version": now * 1000}


def key_of(ask: Ask) -> str:
    return ask.headers.get("chargebee-idempotency-key", "").partition(":")[0]


def cancel_for_items(books: Books, ask: Ask) -> Answer:
    form = Form(
        ask.form(),
        {"cancel_option", "cancel_reason_code"},
        {
            "end_of_term", "cancel_at", "credit_option_for_current_term_charges", "unbilled_charges_option",
            "account_receivables_handling", "refundable_credits_handling", "contract_term_cancel_option",
            "invoice_date", "include_cancellation_day_in_billing", "decommissioned",
        },
    )  # fmt: skip
    option, now = form.one_of("cancel_option", CANCEL_OPTIONS, "immediately"), seconds(ask.now)
    with books.commit() as state:
        subscription = taken(state, ask)
        if subscription["status"] in ("cancelled", "transferred"):
            raise Refusal("Subscription is already cancelled", "invalid_state_for_request", status=409)
        if subscription.get("contract_term", {}).get("status") == "active":
            raise wrong("cancel_option", "not applicable when the subscription has a contract term")
        codes = state["settings"].get("reason_codes")
        if codes is not None and form.text("cancel_reason_code") not in codes:
            raise wrong("cancel_reason_code", "is not one of the reason codes")
        if option == "end_of_term" and "pause_date" in subscription and subscription["status"] != "paused":
            raise Refusal("Subscription is scheduled to pause", "invalid_state_for_request", status=409)
        if option == "immediately":
            terms.cancel(subscription, now)
        elif option == "end_of_term":
            ends = subscription.get("trial_end") if subscription["status"] == "in_trial" else None
            subscription["cancelled_at"] = ends or subscription["current_term_end"]
            subscription["cancel_schedule_created_at"] = now
            if subscription["status"] == "active":
                subscription["status"] = "non_renewing"
            subscription.pop("next_billing_at", None)
        else:
            raise AssertionError(f"the simulator does not know yet what {option} does")
        touch(subscription, ask)
    books.record(subscription["id"], "cancel", key_of(ask), ask.now)
    return answer(books.state, subscription)


def remove_scheduled_cancellation(books: Books, ask: Ask) -> Answer:
    Form(ask.form(), (), {"billing_cycles", "contract_term_billing_cycle_on_renewal"})
    with books.commit() as state:
        subscription = taken(state, ask)
        is_set = subscription["status"] in ("in_trial", "active", "non_renewing") and (
            "cancelled_at" in subscription
        )
        if not is_set or "contract_term" in subscription:
            raise Refusal("No cancellation is scheduled", "invalid_state_for_request", status=409)
        for name in ("cancelled_at", "cancel_schedule_created_at"):
            subscription.pop(name, None)
        if subscription["status"] == "non_renewing":
            subscription["status"] = "active"
        subscription["next_billing_at"] = subscription["current_term_end"]
        touch(subscription, ask)
    books.record(subscription["id"], "uncancel", key_of(ask), ask.now)
    return answer(books.state, subscription)


def pause(books: Books, ask: Ask) -> Answer:
    usable = {"pause_option", "resume_date"}
    form = Form(
        ask.form(),
        usable,
        {"pause_date", "unbilled_charges_handling", "invoice_dunning_handling", "skip_billing_cycles"},
    )
    with books.commit() as state:
        subscription = taken(state, ask)
        set_pause(state, subscription, form, "resume_date", seconds(ask.now))
        touch(subscription, ask)
    books.record(subscription["id"], "pause", key_of(ask), ask.now)
    return answer(books.state, subscription)


def set_pause(state: Document, subscription: Document, form: Form, resumption: str, now: int) -> None:
    option, resumes = form.one_of("pause_option", PAUSE_OPTIONS, "immediately"), form.number(resumption)
    if not state["settings"]["can_pause"]:
        raise Refusal(PAUSED, "configuration_incompatible")
    if subscription["status"] not in ("active", "non_renewing") or "pause_date" in subscription:
        raise Refusal("The subscription cannot be paused", "invalid_state_for_pause", status=409)
    if subscription["has_scheduled_changes"]:
        raise Refusal("There are scheduled changes", "operation_failed", status=400, kind="operation_failed")
    if subscription.get("contract_term", {}).get("status") == "active":
        raise Refusal("The subscription is under a contract", "invalid_state_for_pause", status=409)
    begins = subscription["current_term_end"] if option == "end_of_term" else now
    if option not in ("end_of_term", "immediately"):
        raise AssertionError(f"the simulator does not know yet what {option} does")
    if subscription.get("cancelled_at", begins + 1) <= begins:
        raise wrong("pause_date", "should be before the cancellation date")
    if resumes is not None and resumes <= begins:
        raise wrong("resume_date", "should be after the pause date")
    subscription["pause_date"] = begins
    subscription.pop("next_billing_at", None)
    if resumes is not None:
        subscription |= {"resume_date": resumes, "next_billing_at": resumes}
    if begins <= now:
        subscription["status"] = "paused"


def resume(books: Books, ask: Ask) -> Answer:
    form = Form(
        ask.form(),
        {"resume_option", "charges_handling", "unpaid_invoices_handling"},
        {"resume_date", "payment_initiator"},
    )
    form.one_of("resume_option", ("immediately",), "immediately")
    form.one_of("charges_handling", ("invoice_immediately", "add_to_unbilled_charges"))
    form.one_of("unpaid_invoices_handling", ("no_action", "schedule_payment_collection"))
    with books.commit() as state:
        subscription = taken(state, ask)
        if subscription["status"] != "paused":
            raise Refusal("The subscription is not paused", "invalid_state_for_request", status=409)
        if state["settings"]["payments_fail"] and subscription["current_term_end"] <= seconds(ask.now):
            raise Refusal(
                "Your card was declined: 4000 0000 0000 0002", "payment_processing_failed", kind="payment"
            )
        terms.resume(subscription, state["coupons"], seconds(ask.now))
        touch(subscription, ask)
    books.record(subscription["id"], "resume", key_of(ask), ask.now)
    return answer(books.state, subscription)


def remove_scheduled_pause(books: Books, ask: Ask) -> Answer:
    Form(ask.form(), ())
    with books.commit() as state:
        subscription = taken(state, ask)
        is_set = subscription["status"] in ("active", "non_renewing") and "pause_date" in subscription
        if not is_set:
            raise Refusal("No pause is scheduled", "invalid_state_for_request", status=409)
        for name in ("pause_date", "resume_date"):
            subscription.pop(name, None)
        subscription["next_billing_at"] = subscription["current_term_end"]
        touch(subscription, ask)
    books.record(subscription["id"], "resume", key_of(ask), ask.now)
    return answer(books.state, subscription)


def change_term_end(books: Books, ask: Ask) -> Answer:
    form = Form(ask.form(), {"term_ends_at", "prorate", "invoice_immediately"})
    with books.commit() as state:
        subscription = taken(state, ask)
        was_trial = subscription["status"] == "in_trial"
        move_term_end(subscription, form, seconds(ask.now))
        touch(subscription, ask)
    books.record(subscription["id"], "extend-trial" if was_trial else "pause", key_of(ask), ask.now)
    return answer(books.state, subscription)


def move_term_end(subscription: Document, form: Form, now: int) -> None:
    ends = form.needed_number("term_ends_at")
    if form.flag("prorate", True):
        raise AssertionError("the simulator does not know yet what proration comes to")
    form.flag("invoice_immediately")
    if subscription["status"] not in ("in_trial", "active", "non_renewing"):
        raise Refusal("The term cannot be changed now", "invalid_state_for_request", status=409)
    if ends <= now:
        raise wrong("term_ends_at", "should be in the future")
    subscription["current_term_end"] = ends
    if subscription["status"] == "in_trial":
        subscription["trial_end"] = ends
    if "cancelled_at" in subscription:
        subscription["cancelled_at"] = ends
    else:
        subscription["next_billing_at"] = ends
    if "pause_date" in subscription:
        subscription["pause_date"] = ends


def update_for_items(books: Books, ask: Ask) -> Answer:
    form = Form(ask.form(), UPDATE_USABLE, UPDATE_KNOWN)
    with books.commit() as state:
        subscription = taken(state, ask)
        is_other_plan = change_items(state, subscription, form, seconds(ask.now))
        if form.each("coupon_ids"):
            put_coupons(state, subscription, form.each("coupon_ids"), seconds(ask.now))
        # Whatever was scheduled is dropped by any change that is made at once.
        subscription["has_scheduled_changes"] = False
        touch(subscription, ask)
    books.record(subscription["id"], "change-plan" if is_other_plan else "discount", key_of(ask), ask.now)
    return answer(books.state, subscription)


def change_items(state: Document, subscription: Document, form: Form, now: int) -> bool:
    """Put another plan in place of the old one; a subscription that is over comes back to life with it."""
    if subscription["status"] in ("transferred", "paused"):
        raise Refusal("The subscription cannot be changed now", "invalid_state_for_request", status=409)
    names, quantities = (form.each(f"subscription_items[{name}]") for name in ("item_price_id", "quantity"))
    if not names:
        return False
    if form.flag("prorate", True):
        raise AssertionError("the simulator does not know yet what proration comes to")
    if len(names) != 1 or len(quantities) > 1 or not form.flag("replace_items_list"):
        raise AssertionError("the simulator knows one plan only, in place of what was there")
    price = state["item_prices"].get(names[0])
    if price is None:
        raise missing("Item price", names[0], "subscription_items[item_price_id][0]")
    if price["status"] != "active":
        raise Refusal("The item price is archived", "configuration_incompatible")
    if price["currency_code"] != subscription["currency_code"]:
        raise Refusal("The currency differs", "configuration_incompatible")
    if quantities and price["pricing_model"] == "flat_fee":
        raise wrong("subscription_items[quantity][0]", "is not applicable for a flat fee")
    quantity = int(quantities[0]) if quantities else 1
    subscription["subscription_items"] = [
        {
            "item_price_id": price["id"],
            "item_type": "plan",
            "quantity": quantity,
            "unit_price": price["price"],
            "amount": price["price"] * quantity,
            "free_quantity": 0,
            "object": "subscription_item",
        }
    ]
    subscription |= {"billing_period": price["period"], "billing_period_unit": price["period_unit"]}
    if subscription["status"] == "cancelled":
        subscription |= {"status": "active", "activated_at": now}
        del subscription["cancelled_at"]
        terms.begin_term(subscription, state["coupons"], now)
    return True


def put_coupons(state: Document, subscription: Document, names: Sequence[str], now: int) -> None:
    for number, name in enumerate(names):
        param = f"coupon_ids[{number}]"
        found = state["coupons"].get(name)
        if found is None:
            raise missing("Coupon", name, param)
        if found["status"] != "active" or found.get("valid_till", now + 1) <= now:
            raise wrong(param, "The coupon has expired")
        if found["redemptions"] >= found.get("max_redemptions", found["redemptions"] + 1):
            raise Refusal("The coupon is used up", "resource_limit_exhausted", param=param)
        if found.get("currency_code", subscription["currency_code"]) != subscription["currency_code"]:
            raise wrong(param, "The coupon is in another currency")
        if any(each["coupon_id"] == name for each in subscription["coupons"]):
            raise wrong(param, "The coupon is applied already")
        found["redemptions"] += 1
        used: Document = {"coupon_id": name, "applied_count": 0, "object": "coupon"}
        if found["duration_type"] == "limited_period":
            used["apply_till"] = terms.later(now, found["period_unit"], found["period"])
        subscription["coupons"].append(used)


def create_coupon_for_items(books: Books, ask: Ask) -> Answer:
    form = Form(
        ask.form(),
        {
            "id", "name", "invoice_name", "discount_type", "discount_percentage", "discount_amount", "currency_code",
            "apply_on", "duration_type", "period", "period_unit", "max_redemptions", "valid_till",
        },
        {
            "discount_quantity", "duration_month", "valid_from", "invoice_notes", "meta_data", "included_in_mrr",
            "status", "item_constraints[constraint]", "item_constraints[item_type]",
        },
    )  # fmt: skip
    now = seconds(ask.now)
    with books.commit() as state:
        name = form.required("id", most=100)
        if name in state["coupons"]:
            raise Refusal(f"id : The value {name} is already present.", "duplicate_entry", param="id")
        title = form.required("name", most=50)
        if any(each["name"] == title for each in state["coupons"].values()):
            raise Refusal(f"name : The value {title} is already present.", "duplicate_entry", param="name")
        made = {
            "id": name,
            "name": title,
            "invoice_name": form.text("invoice_name", title, most=100),
            "status": "active",
            "redemptions": 0,
            "created_at": now,
            "updated_at": now,
            "resource_version": now * 1000,
            "object": "coupon",
            **reduction(form),
        }
        if made["discount_type"] == "fixed_amount":
            made["currency_code"] = form.required("currency_code", most=3)
        for key in ("max_redemptions", "valid_till"):
            if (value := form.number(key)) is not None:
                made[key] = value
        state["coupons"][name] = made
    return Answer({"coupon": made})


def reduction(form: Form) -> Document:
    """What a coupon takes off, and for how long."""
    made: Document = {
        "apply_on": form.one_of("apply_on", ("invoice_amount", "each_specified_item")),
        "duration_type": form.one_of("duration_type", ("one_time", "forever", "limited_period")),
        "discount_type": form.one_of("discount_type", ("percentage", "fixed_amount"), "percentage"),
    }
    for name in ("apply_on", "duration_type"):
        form.required(name)
    if made["apply_on"] == "each_specified_item":
        raise AssertionError("the simulator does not know yet what item constraints do")
    if made["discount_type"] == "percentage":
        made["discount_percentage"] = percentage("discount_percentage", form.required("discount_percentage"))
    else:
        made["discount_amount"] = form.needed_number("discount_amount")
    if made["duration_type"] == "limited_period":
        made["period"] = form.needed_number("period")
        made["period_unit"] = form.one_of("period_unit", ("day", "week", "month", "year"))
        if not made["period_unit"]:
            raise Refusal("period_unit : cannot be blank", "param_wrong_value", param="period_unit")
    elif "period" in form or "period_unit" in form:
        raise wrong("period", "is applicable for limited_period only")
    return made

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.direct import (
    DirectCoupon,
    DirectCustomer,
    DirectSubscription,
    Trial,
    parse_customer,
    parse_subscriptions,
)
from app.core.errors import InvalidInput
from app.core.money import Money
from tests.core.shapes import CUSTOMER, GONE, SUBSCRIPTION, put

NOW = datetime(2025, 4, 10, tzinfo=UTC)
LONG = "x" * 256
HUGE = int("9" * 4000)  # a number that fits into no column


def subscription(path: str | None = None, value: object = None) -> DirectSubscription:
    shape = put(SUBSCRIPTION, path, value) if path else SUBSCRIPTION
    return parse_subscriptions([shape], None)[0]


def refused(path: str, value: object) -> dict[str, str]:
    """Field → message of what is said when the example has `value` at `path`."""
    with pytest.raises(InvalidInput) as caught:
        parse_subscriptions([put(SUBSCRIPTION, path, value)], None)
    return {error.field: error.message for error in caught.value.fields}


def test_the_published_example_is_read_whole() -> None:
    customer = parse_customer(CUSTOMER)
    (read,) = parse_subscriptions([SUBSCRIPTION], customer)
    assert customer.metadata == {"plan": "pro", "signupDate": "2024-03-12"}
    assert read.price_total() == Money(2999, "USD")
    assert read.start == datetime(2024, 3, 12, tzinfo=UTC)
    assert read.period_end == datetime(2025, 5, 1, tzinfo=UTC)
    assert read.interval is not None
    assert (read.interval.interval, read.interval.interval_count) == ("month", 1)


def test_what_was_read_is_written_as_it_came() -> None:
    read = subscription()
    assert read.to_wire()["status"]["currentPeriod"]["end"] == "2025-05-01T00:00:00Z"
    assert read.to_wire()["discounts"][0]["coupon"] == {"id": "STRIPE_LOYAL10", "percentOff": 10}
    assert parse_subscriptions([json.loads(json.dumps(read.to_wire()))], None) == [read]


@pytest.mark.parametrize(
    "status",
    [
        {"name": "active", "currentPeriod": {"start": "2025-04-01", "end": "2025-05-01"}},
        {"name": "trial", "trial": {"start": "2025-04-01", "end": "2025-04-15"}},
        {"name": "paused", "pause": {"start": "2025-04-01"}},
        {"name": "paused", "pause": {"start": "2025-04-01", "end": "2025-06-01"}},
        {"name": "canceled", "canceledAt": "2025-04-01T10:00:00+02:00"},
        {"name": "unpaid"},
        {"name": "future", "currentPeriod": {"start": "2026-04-01", "end": "2026-05-01"}},
    ],
)
def test_every_status_reads_back(status: dict[str, Any]) -> None:
    read = subscription("status", status)
    assert read.status.name == status["name"]
    assert parse_subscriptions([read.to_wire()], None) == [read]


AMOUNT = "items.0.price.amount"
PERIOD = "status.currentPeriod"


@pytest.mark.parametrize(
    ("path", "value", "field", "said"),
    [
        ("id", GONE, "id", "required"),
        ("id", "", "id", "empty"),
        ("id", 7, "id", "string"),
        ("id", None, "id", "string"),
        ("id", LONG, "id", "at most 255"),
        ("id", "a\x00b", "id", "Control characters"),
        ("id", "a\nb", "id", "Control characters"),
        ("id", " a", "id", "spaces"),
        ("id", "\ud800", "id", "Unicode"),
        ("start", GONE, "start", "required"),
        ("start", 1712000000, "start", "in a string"),
        ("start", "2025-04-01T12:00:00", "start", "offset"),
        ("start", "0001-01-01", "start", "1970"),
        ("start", True, "start", "in a string"),
        ("surprise", 1, "surprise", "no such field"),
        ("customer_id", "c", "customer_id", "no such field"),
        ("status", "active", "status", "object"),
        ("status", None, "status", "object"),
        ("status.name", GONE, "status.name", "required"),
        ("status.name", "trialing", "status.name", "one of 'active', 'trial'"),
        ("status.active", 1, "status.active", "no such field"),
        (PERIOD, GONE, "status.currentPeriod", "required"),
        (PERIOD, [], "status.currentPeriod", "object"),
        (f"{PERIOD}.end", "2025-03-01", "status.currentPeriod.end", "before start"),
        (f"{PERIOD}.end", GONE, "status.currentPeriod.end", "required"),
        ("items", [], "items", "empty"),
        ("items", SUBSCRIPTION["items"] * 51, "items", "at most 50"),
        ("items", {}, "items", "list"),
        ("items.0", "x", "items[0]", "object"),
        ("items.0.quantity", -1, "items[0].quantity", "at least 0"),
        ("items.0.quantity", 1.5, "items[0].quantity", "whole number"),
        ("items.0.price", GONE, "items[0].price", "required"),
        ("items.0.price.type", "x", "items[0].price.type", "'standalone' or 'product'"),
        ("items.0.price.active", "yes", "items[0].price.active", "true or false"),
        ("items.0.price.duration.interval", "fortnight", "items[0].price.duration.interval", "'day', 'week'"),
        ("items.0.price.duration.intervalCount", 0, "items[0].price.duration.intervalCount", "at least 1"),
        (f"{AMOUNT}.value", GONE, "items[0].price.amount.value", "required"),
        (f"{AMOUNT}.value", None, "items[0].price.amount.value", "required"),
        (f"{AMOUNT}.value", "2999", "items[0].price.amount.value", "whole number"),
        (f"{AMOUNT}.value", True, "items[0].price.amount.value", "whole number"),
        (f"{AMOUNT}.value", 29.99, "items[0].price.amount.value", "whole number"),
        (f"{AMOUNT}.value", float("nan"), "items[0].price.amount.value", "whole number"),
        (f"{AMOUNT}.value", float("inf"), "items[0].price.amount.value", "whole number"),
        (f"{AMOUNT}.value", -1, "items[0].price.amount.value", "at least 0"),
        (f"{AMOUNT}.value", 10**12, "items[0].price.amount.value", "at most"),
        (f"{AMOUNT}.value", HUGE, "items[0].price.amount.value", "at most"),
        (f"{AMOUNT}.currency", "dollars", "items[0].price.amount.currency", "three letters"),
        (f"{AMOUNT}.currency", "U5D", "items[0].price.amount.currency", "three letters"),
        (f"{AMOUNT}.currency", GONE, "items[0].price.amount.currency", "here or on the customer"),
        (f"{AMOUNT}.model", "free", "items[0].price.amount.model", "'fixed' or 'tiered'"),
        ("discounts.0.coupon.percentOff", 0, "discounts[0].coupon.percentOff", "more than 0"),
        ("discounts.0.coupon.percentOff", 100.1, "discounts[0].coupon.percentOff", "at most 100"),
        ("discounts.0.coupon.percentOff", "10", "discounts[0].coupon.percentOff", "number"),
        ("discounts.0.coupon.percentOff", True, "discounts[0].coupon.percentOff", "number"),
        ("discounts.0.coupon.percentOff", float("nan"), "discounts[0].coupon.percentOff", "finite"),
        ("discounts.0.coupon.percentOff", HUGE, "discounts[0].coupon.percentOff", "at most 100"),
        ("discounts.0.coupon.percentOff", 1e-9, "discounts[0].coupon.percentOff", "six decimals"),
        ("discounts.0.coupon.amountOff", -5, "discounts[0].coupon.amountOff", "at least 0"),
        ("discounts.0.coupon.amountOff", 5, "discounts[0].coupon.amountOff", "not both"),
        ("discounts.0.coupon.duration", "always", "discounts[0].coupon.duration", "'once', 'repeating'"),
        ("discounts.0.coupon.name", "x\x1b", "discounts[0].coupon.name", "Control characters"),
        ("discounts.0.coupon.name", "x" * 501, "discounts[0].coupon.name", "at most 500"),
        ("metadata", "x", "metadata", "object"),
        ("metadata", {f"k{n}": n for n in range(51)}, "metadata", "at most 50 keys"),
        ("metadata", {"k": "x" * 8200}, "metadata", "at most 8 KB"),
        ("metadata", {"k": {"a": [{"b": [{"c": [{"d": [1]}]}]}]}}, "metadata", "deeper"),
        ("metadata", {"k": [float("inf")]}, "metadata", "finite"),
        ("metadata", {"k": {"a": "\x07"}}, "metadata", "Control characters"),
        ("metadata", {"k": HUGE}, "metadata", "too long"),
    ],
)
def test_a_mistake_is_named_where_it_is(path: str, value: object, field: str, said: str) -> None:
    found = refused(path, value)
    assert list(found) == [f"subscriptions[0].{field}"]
    assert said in found[f"subscriptions[0].{field}"]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_customer(
            {"email": "nobody", "currency": "x", "addresses": [{"country": "Germany"}]}, "body.customer"
        )
    assert {error.field for error in caught.value.fields} == {
        "body.customer.id",
        "body.customer.email",
        "body.customer.currency",
        "body.customer.addresses[0].country",
    }


def test_messages_do_not_repeat_what_was_sent() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_customer({"id": 1, "email": "hunter2", "currency": "hunter2", "phone": "hunter2\x00"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("body", [None, 7, "x", {}, {"id": "s"}, [None], [[]]])
def test_anything_but_a_list_of_subscriptions_is_refused(body: object) -> None:
    with pytest.raises(InvalidInput):
        parse_subscriptions(body, None)


def test_at_most_twenty_subscriptions_each_with_its_own_id() -> None:
    many = [{**SUBSCRIPTION, "id": f"sub_{n}"} for n in range(21)]
    assert len(parse_subscriptions(many[:20], None)) == 20
    with pytest.raises(InvalidInput, match="at most 20"):
        parse_subscriptions(many, None)
    with pytest.raises(InvalidInput, match=r"subscriptions\[1\]\.id: An earlier"):
        parse_subscriptions([SUBSCRIPTION, SUBSCRIPTION], None)


def test_currency_is_the_customers_where_a_price_names_none() -> None:
    customer = parse_customer({"id": "c", "currency": "eur"})
    shape = put(put(SUBSCRIPTION, f"{AMOUNT}.currency", GONE), "discounts.0.coupon", {"amountOff": 500})
    (read,) = parse_subscriptions([shape], customer)
    assert read.price_total() == Money(2999, "EUR")
    assert read.discounts is not None
    assert read.discounts[0].coupon is not None
    assert read.discounts[0].coupon.currency == "EUR"


def test_currency_is_taken_in_either_case() -> None:
    assert subscription(f"{AMOUNT}.currency", "usd").price_total() == Money(2999, "USD")


def test_whole_floats_are_whole_numbers() -> None:
    assert subscription(f"{AMOUNT}.value", 2999.0).price_total() == Money(2999, "USD")


def test_quantities_count() -> None:
    assert subscription("items.0.quantity", 3).price_total() == Money(8997, "USD")


@pytest.mark.parametrize("amount", [{"model": "tiered", "currency": "USD"}, {"model": "tiered", "value": 0}])
def test_a_tiered_price_has_no_total(amount: dict[str, Any]) -> None:
    shape = put(SUBSCRIPTION, AMOUNT, amount)
    assert parse_subscriptions([shape], DirectCustomer(id="c", currency="USD"))[0].price_total() is None


def test_prices_in_two_currencies_have_no_total() -> None:
    other = put(SUBSCRIPTION["items"][0], "price.amount.currency", "EUR")
    assert subscription("items", [*SUBSCRIPTION["items"], other]).price_total() is None


@pytest.mark.parametrize("moment", ["2025-04-10T00:00:00Z", "2025-07-01T00:00:00Z"])
def test_a_discount_works_until_it_ends(moment: str) -> None:
    now = datetime.fromisoformat(moment)
    assert (subscription().active_discount(now) is not None) is (now < datetime(2025, 7, 1, tzinfo=UTC))


def test_a_discount_does_not_work_before_it_starts() -> None:
    assert subscription("discounts.0.start", "2025-06-01").active_discount(NOW) is None


@pytest.mark.parametrize(
    ("coupon", "left"),
    [
        ({"percent_off": 50}, 1499),
        ({"amount_off": 500, "currency": "USD"}, 2499),
        ({"amount_off": 500}, 2499),
        ({"amount_off": 500, "currency": "EUR"}, 2999),
        ({"amount_off": 5000, "currency": "USD"}, 0),
        ({}, 2999),
    ],
)
def test_what_a_coupon_leaves_of_a_price(coupon: dict[str, Any], left: int) -> None:
    assert DirectCoupon(**coupon).reduce(Money(2999, "USD")) == Money(left, "USD")


@pytest.mark.parametrize(
    ("end", "status", "is_scheduled"),
    [
        ("2025-05-01", SUBSCRIPTION["status"], True),
        ("2025-05-01", {"name": "trial", "trial": {"start": "2025-04-01", "end": "2025-05-01"}}, True),
        ("2025-04-01", SUBSCRIPTION["status"], False),
        (None, SUBSCRIPTION["status"], False),
        ("2025-05-01", {"name": "unpaid"}, False),
        ("2025-05-01", {"name": "canceled", "canceledAt": "2025-04-01"}, False),
    ],
)
def test_scheduled_to_end(end: str | None, status: dict[str, Any], is_scheduled: bool) -> None:
    shape = {**SUBSCRIPTION, "end": end, "status": status}
    assert parse_subscriptions([shape], None)[0].is_scheduled_to_end(NOW) is is_scheduled


def test_a_trial_runs_out_when_it_ends() -> None:
    read = subscription("status", {"name": "trial", "trial": {"start": "2025-04-01", "end": "2025-04-15"}})
    assert isinstance(read.status, Trial)
    assert read.period_end == read.status.trial.end


def test_a_canceled_subscription_has_no_period_left() -> None:
    assert subscription("status", {"name": "canceled", "canceledAt": "2025-04-01"}).period_end is None


def test_name_and_phone_are_for_the_screen_only() -> None:
    customer = parse_customer({**CUSTOMER, "lastName": "Doe", "phone": "555"})
    assert customer.last_name == "Doe"
    assert customer.to_record() == {k: v for k, v in CUSTOMER.items() if k != "name"}
    assert "Doe" not in repr(customer)
    assert "jane" not in repr(customer)


def test_blank_contact_details_count_as_not_given() -> None:
    customer = parse_customer({"id": "c", "name": "", "lastName": " ", "phone": ""})
    assert (customer.name, customer.last_name, customer.phone) == (None, None, None)


def test_the_first_address_with_a_country_decides() -> None:
    customer = parse_customer(
        {"id": "c", "addresses": [{"city": "Berlin"}, {"country": "de"}, {"country": "FR"}]}
    )
    assert customer.country == "DE"


def test_emoji_and_markup_are_text() -> None:
    customer = parse_customer({"id": "<b>🙂</b>", "name": "<script>🙂\n</script>"})
    assert (customer.id, customer.name) == ("<b>🙂</b>", "<script>🙂\n</script>")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PATHS = [
    "id",
    "start",
    "status",
    PERIOD,
    "items",
    "items.0.price",
    AMOUNT,
    f"{AMOUNT}.value",
    "discounts",
    "metadata",
]


@given(JSON, st.sampled_from(PATHS))
def test_no_json_raises_anything_but_our_own_error(value: object, path: str) -> None:
    for read in (lambda: parse_customer(value), lambda: parse_subscriptions(value, None)):
        with suppress(InvalidInput):
            read()
    with suppress(InvalidInput):
        (whole,) = parse_subscriptions([put(SUBSCRIPTION, path, value)], None)
        json.dumps(whole.to_wire(), allow_nan=False).encode()

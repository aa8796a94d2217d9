"""What is read out of an endpoint's answer, and how its failures are counted. The call itself: tests/sessions."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, select

from app.connections import service as connections
from app.connections.customer_data import CustomerData, read_answer, signature_of
from app.db.database import Database
from app.db.tables.accounts import Environment
from tests.support.clock import FakeClock
from tests.support.merchant import Merchant, open_merchant

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def test_the_signature_is_the_published_one() -> None:
    """Independently: openssl dgst -sha256 -hmac live_key over `cus_123`, and letters that are not ASCII."""
    expected = hmac.new(b"live_key", b"cus_123", hashlib.sha256).hexdigest()
    assert signature_of("cus_123", "live_key") == expected == expected.lower()
    assert signature_of("Ærø", "k") == hmac.new(b"k", "Ærø".encode(), hashlib.sha256).hexdigest()


def test_ids_and_attributes_are_taken_over() -> None:
    answer = {
        "customerId": "cus_2",
        "subscriptionId": "sub_2",
        "customerAttributes": {"plan": "Pro", "seats": 3, "rate": 1.5, "isOwner": True},
    }
    assert read_answer(answer) == CustomerData("cus_2", "sub_2", answer["customerAttributes"])


def test_an_empty_answer_is_no_failure() -> None:
    assert read_answer({}) == CustomerData()
    assert not read_answer({"customerId": None, "customerAttributes": None, "more": 1}).is_failure


@pytest.mark.parametrize("answer", [[], "text", 7, None, True])
def test_an_answer_that_is_no_object_is_a_failure(answer: object) -> None:
    assert read_answer(answer).reason == "not_an_object"


@pytest.mark.parametrize("value", ["", "x" * 256, 7, ["cus_1"], {"id": 1}, "a\nb", "a\x00", "\ud800", True])
def test_an_id_of_the_wrong_kind_is_left_out_and_named(value: object) -> None:
    data = read_answer({"customerId": value, "customerAttributes": {"plan": "Pro"}})
    assert (data.customer_id, data.dropped, dict(data.attributes)) == (None, ("customerId",), {"plan": "Pro"})
    assert not data.is_failure


def test_attributes_that_no_rule_could_use_are_left_out_and_named() -> None:
    data = read_answer({"customerAttributes": {"plan": "Pro", "a": {"b": 1}, "c": [1], "customer.id": "x"}})
    assert dict(data.attributes) == {"plan": "Pro"}
    assert set(data.dropped) == {
        "customerAttributes.a",
        "customerAttributes.c",
        "customerAttributes.customer.id",
    }


@given(json_values)
def test_no_answer_whatever_raises(answer: object) -> None:
    data = read_answer(answer)
    assert all(isinstance(value, str | int | float | bool) for value in data.attributes.values())


@given(st.dictionaries(st.sampled_from(["customerId", "subscriptionId", "customerAttributes"]), json_values))
def test_no_wrong_part_spoils_the_rest(answer: dict[str, object]) -> None:
    assert not read_answer(answer).is_failure


# --- Counting failures ----------------------------------------------------------------------------------------------


@pytest.fixture
def merchant(database: Database, clock: FakeClock) -> Merchant:
    return open_merchant(database, clock)


def test_the_fifth_failure_in_a_row_opens_the_breaker(merchant: Merchant) -> None:
    for number in range(1, 5):
        assert (count(merchant, has_failed=True).customer_data_failures, rests(merchant)) == (number, None)
    count(merchant, has_failed=True)
    assert rests(merchant) == 30
    merchant.clock.advance(seconds=31)
    count(merchant, has_failed=True)  # the one try after it
    assert rests(merchant) == 30


def test_a_success_begins_the_count_anew(merchant: Merchant) -> None:
    for _ in range(6):
        count(merchant, has_failed=True)
    environment = count(merchant, has_failed=False)
    assert (environment.customer_data_failures, environment.customer_data_skip_until) == (0, None)


def test_each_environment_has_a_count_of_its_own(merchant: Merchant) -> None:
    count(merchant, has_failed=True)
    counts = sorted(e.customer_data_failures for e in merchant.database.read_sync(_environments))
    assert counts == [0, 1]


def count(merchant: Merchant, *, has_failed: bool) -> Environment:
    merchant.database.write_sync(
        connections.count_customer_data,
        app_id=merchant.app_id,
        has_failed=has_failed,
        now=merchant.clock.now(),
    )
    return environment_of(merchant)


def rests(merchant: Merchant) -> float | None:
    until = environment_of(merchant).customer_data_skip_until
    return (until - merchant.clock.now()).total_seconds() if until else None


def environment_of(merchant: Merchant) -> Environment:
    return next(e for e in merchant.database.read_sync(_environments) if e.app_id == merchant.app_id)


def _environments(db: Session) -> list[Environment]:
    return list(db.exec(select(Environment)).all())

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.direct import DirectCustomer
from app.core.merge import MergeField, customer_names, fields, fill, unreadable

FACTS = {
    "plan": "Pro",
    "subscription.price": 29.0,
    "seats": 3,
    "vip": True,
    "subscription.period_end": datetime(2025, 5, 1, tzinfo=UTC),
    "blank": " ",
    "trap": "{{plan|x}}",
    "markup": "<b>&",
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Your {{plan|plan}} plan", "Your Pro plan"),
        ("{{ plan | plan }}", "Pro"),
        ("{{plan}}", "Pro"),
        ("Hello {{CUSTOMER_NAME.FIRST|there}}", "Hello there"),
        ("Hello {{CUSTOMER_NAME.FIRST}}!", "Hello !"),
        ("{{blank|fallback}}", "fallback"),
        ("{{seats|0}} seats at {{subscription.price|?}}", "3 seats at 29"),
        ("until {{subscription.period_end|soon}}", "until 2025-05-01"),
        ("{{vip|}}", "yes"),
        ("{{missing|}}", ""),
        ("{{missing|a | b}}", "a | b"),
        ("{{trap|}}", "{{plan|x}}"),
        ("{{markup|}}", "<b>&"),
        ("{plan} {{}} {{plan", "{plan} {{}} {{plan"),
        ("", ""),
    ],
)
def test_fields_are_filled(text: str, filled: str) -> None:
    assert fill(text, FACTS) == filled


def test_values_are_worded_by_the_reader() -> None:
    assert fill("{{seats|0}}", FACTS, show=lambda value: f"<{value}>") == "<3>"


def test_fields_of_a_text_are_listed() -> None:
    assert list(fields("a {{plan|x}} {{ seats }}")) == [
        MergeField("plan", "x", 2),
        MergeField("seats", None, 13),
    ]


def test_braces_that_would_reach_the_customer_are_found() -> None:
    assert list(unreadable("{{plan|x}} {{plan} }} {{}}")) == [11, 19, 22, 24]
    assert list(unreadable("{{plan|x}}")) == []


@given(
    st.text(alphabet="{}|ab ", max_size=40), st.dictionaries(st.sampled_from(["a", "b"]), st.text("{}|ab"))
)
def test_text_without_a_field_stays_as_it_is(text: str, facts: dict[str, str]) -> None:
    assert fill(text, facts) == text or list(fields(text))


@pytest.mark.parametrize(
    ("name", "last_name", "whole", "first", "last"),
    [
        ("Jane", None, "Jane", "Jane", None),
        ("Jane Doe", None, "Jane Doe", "Jane", "Doe"),
        ("Jane", "Doe", "Jane Doe", "Jane", "Doe"),
        ("Jane Doe", "Doe", "Jane Doe", "Jane", "Doe"),
        (None, "Doe", "Doe", None, "Doe"),
        (None, None, None, None, None),
    ],
)
def test_names_for_copy(
    name: str | None, last_name: str | None, whole: str | None, first: str | None, last: str | None
) -> None:
    names = customer_names(DirectCustomer(id="c", name=name, last_name=last_name))
    assert [names.get(f"CUSTOMER_NAME{part}") for part in ("", ".FIRST", ".LAST")] == [whole, first, last]


def test_nobody_has_no_names() -> None:
    assert customer_names(None) == {}
    assert customer_names(DirectCustomer(id="c", email="jane@acme.com")) == {
        "CUSTOMER_EMAIL": "jane@acme.com"
    }

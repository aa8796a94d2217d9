from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.money import CurrencyMismatch, Money, divide_half_up, exponent, is_currency_code


@pytest.mark.parametrize(
    ("minor", "currency", "major"),
    [
        (2999, "USD", "29.99"),
        (2999, "JPY", "2999"),
        (2999, "KRW", "2999"),
        (2999, "KWD", "2.999"),
        (2999, "BHD", "2.999"),
        (2999, "JOD", "2.999"),
        (2999, "OMR", "2.999"),
        (2999, "TND", "2.999"),
        (2999, "IQD", "2.999"),
        (2999, "LYD", "2.999"),
        (2999, "CLF", "0.2999"),
        (2999, "UYW", "0.2999"),
        (2999, "HUF", "29.99"),
        (2999, "TWD", "29.99"),
        (2999, "ISK", "2999"),
        (2999, "UGX", "2999"),
        (5, "EUR", "0.05"),
        (0, "EUR", "0.00"),
    ],
)
def test_major_units_follow_iso_4217(minor: int, currency: str, major: str) -> None:
    assert str(Money(minor, currency).decimal()) == major


def test_major_units_are_exact_beyond_any_context_precision() -> None:
    assert str(Money(10**40 + 1, "USD").decimal()) == "1" + "0" * 37 + "0.01"


@pytest.mark.parametrize(
    ("minor", "percent", "left"),
    [
        (2999, "50", 1499),  # 1499.5 is taken away as 1500
        (2999, "10", 2699),
        (1, "50", 0),  # half a cent off is a cent off
        (1, "49.9", 1),
        (1000, "33.333333", 667),
        (999_999_999_999, "0.000001", 999_999_990_000 - 1),
        (2999, "100", 0),
    ],
)
def test_percent_off_rounds_what_is_taken_half_up(minor: int, percent: str, left: int) -> None:
    assert Money(minor, "USD").times_percent(Decimal(percent)) == Money(left, "USD")


@given(st.integers(0, 10**24), st.decimals("0.000001", "100", places=6))
def test_percent_off_agrees_with_exact_fractions(minor: int, percent: Decimal) -> None:
    left = Money(minor, "EUR").times_percent(percent).minor
    exact = Fraction(minor) * (1 - Fraction(percent) / 100)
    assert abs(left - exact) <= Fraction(1, 2)
    assert 0 <= left <= minor


@given(st.integers(0, 10**20), st.integers(1, 10**6))
def test_a_half_goes_up(numerator: int, denominator: int) -> None:
    quotient = divide_half_up(numerator, denominator)
    assert Fraction(-1, 2) < quotient - Fraction(numerator, denominator) <= Fraction(1, 2)


def test_a_discount_larger_than_the_price_makes_it_free() -> None:
    assert Money(500, "USD").minus(Money(800, "USD")) == Money(0, "USD")


def test_sums_and_multiples() -> None:
    assert Money(500, "USD").plus(Money(1, "USD")).times(3) == Money(1503, "USD")


@pytest.mark.parametrize("sum_up", [Money(1, "USD").plus, Money(1, "USD").minus])
def test_currencies_do_not_mix(sum_up: object) -> None:
    with pytest.raises(CurrencyMismatch):
        sum_up(Money(1, "EUR"))


@pytest.mark.parametrize("minor", [1.0, True, "1", Decimal(1)])
def test_minor_units_are_whole(minor: object) -> None:
    with pytest.raises(TypeError):
        Money(minor, "USD")


@pytest.mark.parametrize("code", ["usd", "US", "USDX", "U$D", "", "ÄÖÜ", "USD\n"])
def test_a_currency_is_three_capital_letters(code: str) -> None:
    assert not is_currency_code(code)
    with pytest.raises(ValueError, match="three capital letters"):
        Money(1, code)


def test_unlisted_currencies_have_two_decimals() -> None:
    assert exponent("EUR") == exponent("XYZ") == 2

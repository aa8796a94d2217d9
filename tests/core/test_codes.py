from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.codes import CODES, LONGEST_TYPED, read_code, success_bound, write_code

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    "typed",
    [
        "123456",
        "123 456",
        " 123\u00a0456\n",
        "123-456",
        "123–456",
        "123\u2011456",
        "12 34 56",
        "\u200b123\u200d456",
        "１２３４５６",
        "\u0661\u0662\u0663\u0664\u0665\u0666",
        "\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6",
        "\u0967\u0968\u0969\u096a\u096b\u096c",
    ],
)
def test_a_code_is_read_however_it_was_typed_or_pasted(typed: str) -> None:
    assert read_code(typed) == "123456"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "12345",
        "1234567",
        "12345a",
        "12345\x00",
        "12.345",
        "+12345",
        "123456 is my code",
        "½23456",
        "²23456",
        "Ⅷ23456",
        "12345\ud800",
        "123456" + " " * LONGEST_TYPED,
    ],
)
def test_what_cannot_be_a_code_is_none(typed: str) -> None:
    assert read_code(typed) is None


@given(st.text(max_size=200))
def test_whatever_is_typed_comes_out_as_six_plain_digits_or_not_at_all(typed: str) -> None:
    code = read_code(typed)
    assert code is None or (len(code) == 6 and code.isascii() and code.isdigit())


@given(st.integers(0, CODES - 1))
def test_every_code_has_six_digits_and_is_read_back(number: int) -> None:
    code = write_code(number)
    assert int(code) == number
    assert read_code(f"{code[:3]} {code[3:]}") == code


@pytest.mark.parametrize("number", [-1, CODES])
def test_there_are_a_million_codes_and_no_more(number: int) -> None:
    with pytest.raises(ValueError, match="no code"):
        write_code(number)


@pytest.mark.parametrize(
    ("within", "addresses", "networks", "guesses"),
    [
        (HOUR, 1, None, 10),  # wrong tries an hour
        (timedelta(minutes=1), 1, None, 10),
        (HOUR + timedelta(seconds=1), 1, None, 20),
        (DAY, 1, None, 100),  # five tries of each of twenty codes are less than ten an hour
        (2 * DAY, 1, None, 200),
        (HOUR, 40, None, 400),
        (HOUR, 40, 2, 100),  # wrong tries of two networks
        (HOUR, 1, 1000, 10),
    ],
)
def test_the_chance_of_a_guesser_is_what_the_limits_leave(
    within: timedelta, addresses: int, networks: int | None, guesses: int
) -> None:
    assert success_bound(within=within, addresses=addresses, networks=networks) == Fraction(guesses, CODES)


def test_the_chance_is_never_more_than_certain() -> None:
    assert success_bound(within=DAY, addresses=10**9) == 1

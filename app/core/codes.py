"""One-time codes by mail: how long they are, how one is read from what was typed, what guessing comes to. Pure."""

import math
import unicodedata
from datetime import timedelta
from fractions import Fraction
from typing import Final

from app.core.limits import SEND_GAP, SENDS_PER_DAY, SENDS_PER_HOUR, WRONG_PER_ADDRESS, WRONG_PER_IP, Limit

CODE_DIGITS: Final = 6
CODES: Final = 10**CODE_DIGITS
TRIES_PER_CODE: Final = 5
RESEND_WAIT: Final = SEND_GAP.window
LONGEST_TYPED: Final = 100  # of which all but six are spaces, dashes and marks nobody sees


def read_code(typed: str) -> str | None:
    """The six digits in `123 456`, `123-456` or `١٢٣٤٥٦`; None for what cannot be a code."""
    if len(typed) > LONGEST_TYPED:
        return None
    digits = ""
    for character in typed:
        digit = unicodedata.decimal(character, None)
        if digit is not None:
            digits += str(digit)
        elif not character.isspace() and unicodedata.category(character) not in ("Pd", "Cf"):
            return None
    return digits if len(digits) == CODE_DIGITS else None


def write_code(number: int) -> str:
    """The code of a number below CODES, zeros in front and all."""
    if not 0 <= number < CODES:
        raise ValueError("there is no code of that number")
    return f"{number:0{CODE_DIGITS}}"


def success_bound(*, within: timedelta, addresses: int = 1, networks: int | None = None) -> Fraction:
    """How likely it is at most that somebody who guesses at `addresses`, from `networks` (None: any number of them),
    is right even once within that time.

    A code is drawn evenly and each guess at it rules out one of a million, so it is a millionth for each guess that
    is looked at. How many are looked at is what the limits say: tries a code times codes an address may be sent, wrong
    tries an address, wrong tries a network.
    """
    codes = min(_most(SENDS_PER_HOUR, within), _most(SENDS_PER_DAY, within))
    guesses = addresses * min(_most(WRONG_PER_ADDRESS, within), TRIES_PER_CODE * codes)
    if networks is not None:
        guesses = min(guesses, networks * _most(WRONG_PER_IP, within))
    return min(Fraction(1), Fraction(guesses, CODES))


def _most(limit: Limit, within: timedelta) -> int:
    """A stretch of time is covered by so many windows, and none of them has more than the limit."""
    return limit.most * max(1, math.ceil(within / limit.window))

"""Money as an exact count of the currency's smallest unit. Formatting for people belongs to the web floor."""

import re
from dataclasses import dataclass
from decimal import Decimal

# ISO 4217 exponents that are not 2. Vendors differ on a few: Stripe bills ISK and UGX in hundredths, and wants
# charges in HUF and TWD to end in 00. An adapter converts at its edge; here the standard holds.
_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS = {code: exponent for exponent, codes in _BY_EXPONENT.items() for code in codes.split()}
_CODE = re.compile(r"[A-Z]{3}", re.ASCII)


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies were put together."""


def exponent(currency: str) -> int:
    """How many decimals the currency has by ISO 4217."""
    return EXPONENTS.get(currency, 2)


def is_currency_code(text: str) -> bool:
    """True for three capital letters. Any such code is taken: new ones appear faster than releases."""
    return _CODE.fullmatch(text) is not None


def divide_half_up(numerator: int, denominator: int) -> int:
    """A quotient of non-negative integers, to the nearest whole number, a half going up as providers round."""
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(frozen=True, slots=True)
class Money:
    """`minor` counts the smallest unit: 2999 USD is $29.99, 2999 JPY is ¥2,999, 2999 KWD is 2.999 dinars."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if isinstance(self.minor, bool) or not isinstance(self.minor, int):
            raise TypeError("Money counts whole units of the smallest coin")
        if not is_currency_code(self.currency):
            raise ValueError("A currency is three capital letters, as in EUR")

    def decimal(self) -> Decimal:
        """The amount in major units, exact: Money(2999, "USD") is Decimal("29.99")."""
        # Unlike scaleb, this never rounds to the precision of the context.
        return Decimal(f"{self.minor}E-{exponent(self.currency)}")

    def times_percent(self, percent_off: Decimal) -> "Money":
        """The price with `percent_off` percent taken away; the amount taken is what is rounded, half up."""
        parts, whole = percent_off.as_integer_ratio()
        return self.minus(Money(divide_half_up(self.minor * parts, whole * 100), self.currency))

    def minus(self, other: "Money") -> "Money":
        """What is left; never below zero, as a discount larger than the price makes it free."""
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{other.currency} cannot be taken from {self.currency}")
        return Money(max(self.minor - other.minor, 0), self.currency)

    def plus(self, other: "Money") -> "Money":
        """The sum of two amounts of one currency."""
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{other.currency} cannot be added to {self.currency}")
        return Money(self.minor + other.minor, self.currency)

    def times(self, quantity: int) -> "Money":
        """The price of `quantity` pieces."""
        return Money(self.minor * quantity, self.currency)

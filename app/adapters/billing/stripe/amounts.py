"""Stripe's amounts and ours: both count smallest units, and disagree on which those are for three currencies.

https://docs.stripe.com/currencies
"""

from typing import Final

from app.core.billing import ProviderRefused
from app.core.money import divide_half_up, exponent

# Where Stripe's number of decimals is not that of ISO 4217.
_STRIPE_EXPONENTS: Final = {"ISK": 2, "UGX": 2, "MGA": 0}


def minor_of(amount: int, currency: str) -> int:
    """Stripe's amount in units of ISO 4217; a part of a unit, which Stripe bills to nobody, is rounded."""
    difference = _difference(currency)
    return amount * 10**-difference if difference < 0 else divide_half_up(amount, 10**difference)


def amount_of(minor: int, currency: str) -> int:
    """Our amount as Stripe counts it. Raises ProviderRefused where Stripe has no unit that small."""
    difference = _difference(currency)
    if difference >= 0:
        return int(minor * 10**difference)
    amount, rest = divmod(minor, 10**-difference)
    if rest:
        raise ProviderRefused(
            "This discount is not possible.", f"Stripe bills {currency} in whole units only."
        )
    return int(amount)


def _difference(currency: str) -> int:
    iso = exponent(currency)
    return _STRIPE_EXPONENTS.get(currency, iso) - iso

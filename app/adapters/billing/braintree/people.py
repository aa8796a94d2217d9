"""Braintree's customers in the canonical model, and which payment methods are theirs."""

from collections.abc import Iterator
from typing import Any, Final

from app.core.direct import DirectAddress, DirectCustomer
from app.core.email_address import may_be_known_by
from app.core.fields import MAX_TEXT, is_clean, sift_metadata

_MOST_ADDRESSES: Final = 20


def customer(raw: Any) -> DirectCustomer:
    return DirectCustomer(
        id=raw.id,
        email=_email(_get(raw, "email")),
        name=text(_get(raw, "first_name")),
        last_name=text(_get(raw, "last_name")),
        phone=text(_get(raw, "phone")),
        addresses=[_address(each) for each in _addresses(raw)][:_MOST_ADDRESSES],
        metadata=sift_metadata(_get(raw, "custom_fields")),
    )


def has_email(raw: Any, email: str) -> bool:
    theirs = _get(raw, "email")
    return isinstance(theirs, str) and theirs.casefold() == email.casefold()


def payment_methods(raw: Any) -> Iterator[Any]:
    """Every kind of payment method, also those that the library has no class for; by their tokens."""
    seen = set()
    for value in list(vars(raw).values()):
        for each in value if isinstance(value, list) else ():
            token = _get(each, "token")
            if isinstance(token, str) and token not in seen:
                seen.add(token)
                yield each


def tokens(raw: Any) -> set[str]:
    return {_get(each, "token") for each in payment_methods(raw)}


def subscriptions(raw: Any) -> list[Any]:
    """As they come with the payment methods: objects of the library, or plain where it has no class."""
    found = [_get(each, "subscriptions") for each in payment_methods(raw)]
    return [each for listed in found if isinstance(listed, list) for each in listed]


def text(value: object) -> str | None:
    """A text that fits; None for anything else."""
    if not isinstance(value, str) or not value.strip() or not is_clean(value, allowed="\n\t"):
        return None
    return value[:MAX_TEXT]


def _email(value: object) -> str | None:
    return value if isinstance(value, str) and may_be_known_by(value) else None


def _addresses(raw: Any) -> Iterator[Any]:
    """The customer's, and those that payment methods are billed to."""
    yield from (_get(raw, "addresses") or ())
    for each in payment_methods(raw):
        if (billed := _get(each, "billing_address")) is not None:
            yield billed


def _address(raw: Any) -> DirectAddress:
    country = _get(raw, "country_code_alpha2")
    is_code = isinstance(country, str) and len(country) == 2 and country.isascii() and country.isalpha()
    return DirectAddress(
        line1=text(_get(raw, "street_address")),
        line2=text(_get(raw, "extended_address")),
        city=text(_get(raw, "locality")),
        state=text(_get(raw, "region")),
        postal_code=text(_get(raw, "postal_code")),
        country=country if is_code else None,
    )


def _get(raw: Any, name: str) -> Any:
    return raw.get(name) if isinstance(raw, dict) else getattr(raw, name, None)

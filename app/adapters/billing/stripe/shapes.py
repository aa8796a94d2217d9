"""Stripe's customers, prices, coupons and discounts in our words. Drops what does not fit; never fails on news."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from app.adapters.billing.stripe.amounts import minor_of
from app.adapters.billing.stripe.wire import Raw
from app.core.direct import (
    Amount,
    DirectAddress,
    DirectCoupon,
    DirectCustomer,
    DirectDiscount,
    DirectPrice,
    DurationConfig,
)
from app.core.email_address import may_be_known_by
from app.core.fields import Country, Currency, Id, Percent, Text, sift_metadata, whole

OURS: Final = "leavewell_"
"""What begins so, in metadata and coupon ids, is ours; it is not shown to rules."""

_INTERVALS: Final = ("day", "week", "month", "year")

_Months = Annotated[int, *whole(at_least=1, at_most=1200)]


def customer_of(raw: Raw) -> DirectCustomer:
    first, last = _names(raw)
    country = raw.get("address") or (raw.get("shipping") or {}).get("address") or {}
    return DirectCustomer(
        id=raw["id"],
        email=_email(raw.get("email")),
        name=first,
        last_name=last,
        phone=fitting(Text, raw.get("phone")),
        currency=fitting(Currency, raw.get("currency")),
        addresses=[_address(country)] if isinstance(country, dict) and country else None,
        metadata=metadata_of(raw) or None,
    )


def price_of(raw: Raw, currency: str | None = None) -> DirectPrice:
    """A price, in `currency` where it has that beside its own (and its `currency_options` were asked for)."""
    product = raw.get("product")
    product_id = product.get("id") if isinstance(product, dict) else product
    name = raw.get("nickname") or (product.get("name") if isinstance(product, dict) else None)
    return DirectPrice(
        id=raw["id"],
        type="product" if product_id else "standalone",
        active=is_usable(raw),
        product_id=fitting(Id, product_id),
        name=fitting(Text, name),
        duration=duration_of(raw),
        amount=_amount(raw, currency),
        metadata=metadata_of(raw) or None,
    )


def is_usable(price: Raw) -> bool:
    """Whether new subscribers can have it: active, and of a product that is active as far as is known."""
    product = price.get("product")
    is_sold = not isinstance(product, dict) or (
        product.get("active") is not False and not product.get("deleted")
    )
    return price.get("active") is True and is_sold


def duration_of(price: Raw) -> DurationConfig | None:
    recurring = price.get("recurring")
    if not isinstance(recurring, dict) or recurring.get("interval") not in _INTERVALS:
        return None
    count = recurring.get("interval_count")
    return DurationConfig(
        interval=recurring["interval"],
        interval_count=count if type(count) is int and 0 < count <= 3650 else 1,
    )


def coupon_of(raw: Raw) -> DirectCoupon:
    percent, currency = _percent(raw.get("percent_off")), fitting(Currency, raw.get("currency"))
    amount = raw.get("amount_off")
    is_amount = percent is None and type(amount) is int and amount >= 0 and currency is not None
    return DirectCoupon(
        id=raw["id"],
        name=fitting(Text, raw.get("name")),
        percent_off=percent,
        amount_off=minor_of(amount, currency) if is_amount and amount is not None and currency else None,
        currency=currency if is_amount else None,
        duration=_coupon_duration(raw.get("duration")),
        duration_in_months=fitting(_Months, raw.get("duration_in_months")),
        metadata=metadata_of(raw) or None,
    )


def discounts_of(raws: Iterable[object]) -> list[DirectDiscount]:
    """Discounts with their coupons; one whose coupon is not known is kept without: that it is there counts."""
    return [
        DirectDiscount(
            id=fitting(Id, raw.get("id")),
            coupon=coupon_of(coupon) if isinstance(coupon := coupon_in(raw), dict) else None,
            start=moment_of(raw.get("start")),
            end=moment_of(raw.get("end")),
        )
        for raw in raws
        if isinstance(raw, dict)
    ][:20]


def coupon_in(discount: Raw) -> object:
    """The coupon behind a discount: an object where it was asked for, else its id."""
    source = discount.get("source")
    return source.get("coupon") if isinstance(source, dict) else None


def metadata_of(raw: Raw) -> dict[str, Any]:
    """What the merchant keeps with an object, without our own marks."""
    given = raw.get("metadata")
    if not isinstance(given, Mapping):
        return {}
    return sift_metadata({name: value for name, value in given.items() if not name.startswith(OURS)})


def moment_of(timestamp: object) -> datetime | None:
    """Stripe's seconds since 1970, as a moment."""
    if type(timestamp) is not int or not 0 <= timestamp < 253_402_300_800:
        return None
    return datetime.fromtimestamp(timestamp, UTC)


def fitting(kind: Any, value: object) -> Any:
    """The value if it is of that kind, else None."""
    if value is None:
        return None
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError:
        return None


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _names(raw: Raw) -> tuple[str | None, str | None]:
    """Stripe has one name; what comes first is taken for the first name, but not of a business."""
    name = fitting(Text, raw.get("name"))
    if name is None or not name.strip() or name == raw.get("business_name"):
        return name, None
    first, _, last = name.strip().partition(" ")
    return first, last.strip() or None


def _email(value: object) -> str | None:
    email = value.strip() if isinstance(value, str) else ""
    return email if may_be_known_by(email) else None


def _address(raw: Raw) -> DirectAddress:
    return DirectAddress(
        line1=fitting(Text, raw.get("line1")),
        line2=fitting(Text, raw.get("line2")),
        city=fitting(Text, raw.get("city")),
        state=fitting(Text, raw.get("state")),
        postal_code=fitting(Text, raw.get("postal_code")),
        country=fitting(Country, raw.get("country")),
    )


def _amount(raw: Raw, wanted: str | None) -> Amount:
    """A unit's price. What depends on quantity, usage or the customer's choice has none that could be told."""
    own = fitting(Currency, raw.get("currency"))
    currency = wanted or own
    options = raw.get("currency_options")
    priced = raw
    if currency != own:
        option = options.get(str(currency).lower()) if isinstance(options, dict) else None
        priced = option if isinstance(option, dict) else {}
    value = _whole(priced.get("unit_amount"), priced.get("unit_amount_decimal"))
    recurring = raw.get("recurring")
    is_plain = (
        raw.get("billing_scheme", "per_unit") == "per_unit"
        and not (isinstance(recurring, dict) and recurring.get("usage_type") == "metered")
        and raw.get("transform_quantity") is None
        and raw.get("custom_unit_amount") is None
    )
    if value is None or currency is None or not is_plain:
        return Amount(model="tiered", value=None, currency=currency)
    return Amount(value=minor_of(value, currency), currency=currency)


def _whole(amount: object, decimal: object) -> int | None:
    if type(amount) is int:
        return amount if 0 <= amount <= 10**11 else None
    try:
        number = Decimal(str(decimal))
        return int(number) if 0 <= number <= 10**11 and number == number.to_integral_value() else None
    except InvalidOperation:
        return None


def _percent(value: object) -> Decimal | None:
    found: Decimal | None = fitting(Percent, value)
    return found


def _coupon_duration(value: object) -> Literal["once", "repeating", "forever"] | None:
    match value:
        case "once" | "repeating" | "forever":
            return value
    return None

"""What the billing system knows when the demo first starts: a price list and seven customers."""

from datetime import datetime, timedelta
from typing import Any

from demo.billing.actions import Catalog
from demo.billing.store import Store
from demo.billing.timeline import Document, add_months, period_at, write_moment
from demo.customers import BILLED

MODES = ("live", "test")
CURRENCY = "USD"


def _price(price_id: str, product_id: str, name: str, value: int, interval: str) -> Document:
    return {
        "id": price_id,
        "type": "product",
        "active": True,
        "productId": product_id,
        "name": name,
        "duration": {"interval": interval, "intervalCount": 1},
        "amount": {"model": "fixed", "value": value, "currency": CURRENCY},
    }


LITE = _price("price_lite_monthly", "prod_lite", "Lite", 600, "month")
LITE_YEARLY = _price("price_lite_yearly", "prod_lite", "Lite yearly", 6000, "year")
PRO = _price("price_pro_monthly", "prod_pro", "Pro", 2900, "month")
PRO_YEARLY = _price("price_pro_yearly", "prod_pro", "Pro yearly", 29000, "year")
PUBLISH = _price("price_publish_monthly", "prod_publish", "Northwind Publish", 1200, "month")

_COUPONS: tuple[Document, ...] = (
    {
        "id": "coupon_half_price",
        "name": "Half price for three months",
        "percentOff": 50,
        "duration": "repeating",
        "durationInMonths": 3,
    },
    {"id": "coupon_thanks", "name": "20% off the next invoice", "percentOff": 20, "duration": "once"},
    {
        "id": "coupon_five_dollars",
        "name": "$5 off for six months",
        "amountOff": 500,
        "currency": CURRENCY,
        "duration": "repeating",
        "durationInMonths": 6,
    },
)

CATALOG = Catalog(
    {price["id"]: price for price in (LITE, LITE_YEARLY, PRO, PRO_YEARLY, PUBLISH)},
    {coupon["id"]: coupon for coupon in _COUPONS},
)


def seed(store: Store, now: datetime) -> None:
    """Put there who is missing, both modes alike; what is there already stays. Dates are relative to `now`."""
    now = now.replace(second=0, microsecond=0)
    for mode in MODES:
        missing = [customer for customer in BILLED if store.find_customer(mode, customer.id) is None]
        if len(missing) == len(BILLED):
            store.put_catalog(mode, CATALOG)
        for customer in missing:
            first_name, _, last_name = customer.name.partition(" ")
            document = {
                "id": customer.id,
                "email": customer.email,
                "name": first_name,
                "lastName": last_name,
                "currency": CURRENCY,
                "addresses": [{"country": customer.country}],
            }
            store.put_customer(mode, document, subscriptions_of(customer.id, now))


def subscriptions_of(customer_id: str, now: datetime) -> list[Document]:
    """A customer's subscriptions as they are at the first start."""
    match customer_id:
        case "cus_ada":
            return [_active("sub_ada_lite", customer_id, LITE, now - timedelta(days=21), now)]
        case "cus_ben":
            return [_active("sub_ben_pro", customer_id, PRO, _ago(now, months=18, days=9), now)]
        case "cus_chen":
            return [_active("sub_chen_pro", customer_id, PRO_YEARLY, _ago(now, months=16, days=4), now)]
        case "cus_dana":
            start, end = now - timedelta(days=5), now + timedelta(days=9)
            return [_on_trial("sub_dana_pro", customer_id, PRO, start, end)]
        case "cus_emil":
            return [
                _active("sub_emil_pro", customer_id, PRO, _ago(now, months=11, days=15), now),
                _active("sub_emil_publish", customer_id, PUBLISH, _ago(now, months=5, days=2), now),
            ]
        case "cus_emil_work":
            return [_active("sub_emil_work_lite", customer_id, LITE_YEARLY, _ago(now, months=8, days=6), now)]
        case "cus_farah":
            return [_active("sub_farah_pro", customer_id, PRO, _ago(now, months=14, days=12), now)]
    return []


def _ago(now: datetime, *, months: int, days: int) -> datetime:
    return add_months(now, -months) - timedelta(days=days)


def _active(
    subscription_id: str, customer_id: str, price: Document, start: datetime, now: datetime
) -> Document:
    status = {"name": "active", "currentPeriod": period_at(now, start, price["duration"])}
    return _subscription(subscription_id, customer_id, price, start, status)


def _on_trial(
    subscription_id: str, customer_id: str, price: Document, start: datetime, end: datetime
) -> Document:
    trial = {"start": write_moment(start), "end": write_moment(end)}
    return _subscription(subscription_id, customer_id, price, start, {"name": "trial", "trial": trial})


def _subscription(
    subscription_id: str, customer_id: str, price: Document, start: datetime, status: dict[str, Any]
) -> Document:
    return {
        "id": subscription_id,
        "customerId": customer_id,
        "start": write_moment(start),
        "status": status,
        "items": [{"id": f"{subscription_id}_1", "price": price, "quantity": 1}],
        "duration": price["duration"],
        "discounts": [],
        "metadata": {},
    }

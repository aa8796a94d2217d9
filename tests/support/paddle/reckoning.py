"""What Paddle's preview of a subscription says its next transaction comes to."""

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from tests.support.paddle.ids import moment, stamp
from tests.support.paddle.shapes import Entity, after


def next_transaction(sub: Entity, discounts: Mapping[str, Entity], tax_rate: Decimal) -> Entity | None:
    """None where nothing is to be billed: a cancel is scheduled, or it is over."""
    if sub["next_billed_at"] is None:
        return None
    at = moment(sub["next_billed_at"])
    lines = [_line(each, _off(sub, discounts, each, at), tax_rate) for each in sub["items"]]
    totals = {
        name: str(sum(int(line["totals"][name]) for line in lines))
        for name in ("subtotal", "discount", "tax", "total")
    }
    return {
        "billing_period": {"starts_at": stamp(at), "ends_at": stamp(after(at, sub["billing_cycle"]))},
        "details": {
            "tax_rates_used": [{"tax_rate": str(tax_rate), "totals": totals}],
            "totals": {
                **totals,
                "credit": "0",
                "credit_to_balance": "0",
                "balance": totals["total"],
                "grand_total": totals["total"],
                "grand_total_tax": totals["tax"],
                "fee": None,
                "earnings": None,
                "currency_code": sub["currency_code"],
            },
            "line_items": lines,
        },
        "adjustments": [],
    }


def _off(sub: Entity, discounts: Mapping[str, Entity], each: Entity, at: datetime) -> int:
    given = sub["discount"]
    if given is None or (given["ends_at"] is not None and moment(given["ends_at"]) <= at):
        return 0
    entity = discounts[given["id"]]
    gross = int(each["price"]["unit_price"]["amount"]) * each["quantity"]
    match entity["type"]:
        case "percentage":
            return _round(Decimal(gross) * Decimal(entity["amount"]) / 100)
        case "flat":
            return min(gross, int(entity["amount"]))
        case _:
            return min(gross, int(entity["amount"]) * each["quantity"])


def _line(each: Entity, off: int, rate: Decimal) -> Entity:
    unit = int(each["price"]["unit_price"]["amount"])
    is_inside = each["price"]["tax_mode"] in ("internal", "location")
    return {
        "price_id": each["price"]["id"],
        "quantity": each["quantity"],
        "tax_rate": str(rate),
        "unit_totals": _totals(unit, off // max(each["quantity"], 1), rate, is_inside=is_inside),
        "totals": _totals(unit * each["quantity"], off, rate, is_inside=is_inside),
        "product": each["product"],
        "proration": None,
    }


def _totals(gross: int, off: int, rate: Decimal, *, is_inside: bool) -> Entity:
    if is_inside:
        subtotal, discount = _round(gross / (1 + rate)), _round(off / (1 + rate))
        total = gross - off
        tax = total - (subtotal - discount)
    else:
        subtotal, discount = gross, off
        tax = _round((gross - off) * rate)
        total = gross - off + tax
    return {"subtotal": str(subtotal), "discount": str(discount), "tax": str(tax), "total": str(total)}


def _round(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))

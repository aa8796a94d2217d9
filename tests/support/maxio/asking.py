"""What Maxio's handlers share: reading a request strictly, refusing it in Maxio's words, finding things."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import Any

from tests.support.maxio import shapes
from tests.support.simulator.books import Document
from tests.support.simulator.http import Answer, Ask


class Refused(Exception):
    """A 4xx with Maxio's error body."""

    def __init__(self, *errors: str, status: int = 422, body: object = None) -> None:
        super().__init__(*errors)
        self.answer = Answer({"errors": list(errors)} if body is None else body, status)


def not_found() -> Answer:
    return Answer({"errors": ["Not Found"]}, 404)


def known(ask: Ask, *names: str) -> dict[str, str]:
    given = ask.params()
    if unknown := set(given) - set(names):
        raise Refused(f"found unpermitted parameter: {sorted(unknown)[0]}", status=400)
    return given


def whole_body(ask: Ask) -> Document:
    if ask.body and not ask.headers.get("content-type", "").startswith("application/json"):
        raise Refused("Unsupported media type", status=415)
    try:
        given = ask.json()
    except ValueError:
        raise Refused("The request could not be parsed.", status=400) from None
    return given if isinstance(given, dict) else {}


def body_of(ask: Ask, name: str, *permitted: str, may_be_missing: bool = False) -> Document:
    given = whole_body(ask)
    inner = given.get(name, {} if may_be_missing else None)
    if not isinstance(inner, dict) or set(given) - {name, "uniqueness_token"}:
        raise Refused(f"param is missing or the value is empty: {name}", status=400)
    if unknown := set(inner) - set(permitted):
        raise Refused(f"found unpermitted parameter: {sorted(unknown)[0]}", status=400)
    return inner


def one(state: Document, kind: str, ask: Ask) -> Document:
    found: Document | None = state[kind].get(ask.ids["id"])
    if found is None:
        raise Refused("Not Found", status=404)
    return found


def answer(state: Document, found: Document) -> Answer:
    return Answer({"subscription": shapes.shown_subscription(state, found, with_coupons=False)})


def page(given: Mapping[str, str], listed: list[Any], *, usual: int) -> list[Any]:
    size = min(max(int(given.get("per_page", usual)), 1), 200)
    first = (max(int(given.get("page", 1)), 1) - 1) * size
    return listed[first : first + size]


def coupon_by_code(
    state: Document, code: str, family: str | None, *, with_archived: bool = False
) -> Document | None:
    for coupon in state["coupons"].values():
        is_there = with_archived or not coupon["archived_at"]
        if coupon["code"] == code and is_there and family in (None, str(coupon["product_family_id"])):
            found: Document = coupon
            return found
    return None


def unusable(coupon: Document, now: datetime) -> str | None:
    if coupon["end_date"] and now.date() > date.fromisoformat(coupon["end_date"][:10]):
        return "Coupon expired"
    if coupon["conversion_limit"] is not None and coupon["conversions"] >= int(coupon["conversion_limit"]):
        return "Coupon is invalid"
    return None


def percentage(given: object) -> str | None:
    if given is None:
        return None
    try:
        value = Decimal(str(given))
    except InvalidOperation:
        raise Refused("Percentage: is not a number.") from None
    if not 0 < value <= 100:
        raise Refused("Percentage: must be between 0 and 100.")
    return f"{value.quantize(Decimal('0.0001'), ROUND_DOWN).normalize():f}"


def moment(given: object, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError:
        raise Refused("Date: is invalid.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)

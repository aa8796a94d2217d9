"""What sessions can be counted by: for each dimension of the Data API its expression in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast, get_args

from sqlalchemy import BigInteger, ColumnElement, Table, and_, case, literal_column, or_

from app.core.time_buckets import DAY_S, Offset, Unit
from app.db.tables.records import SessionRecord
from app.insights.filters import Filter

Expression = ColumnElement[Any]

_COLUMNS: Final = cast(Table, SessionRecord.__table__).c  # type: ignore[attr-defined]  # SQLModel adds it

TIME_UNITS: Final[tuple[Unit, ...]] = get_args(Unit)


def _whole(number: int | None) -> Expression:
    """A whole number of ours, written out: a parameter would make two expressions of one."""
    return literal_column(str(number), BigInteger)


# Those that are a column as it is.
COLUMNS: Final[Mapping[str, Expression]] = {
    "invoiceMonth": _COLUMNS.invoice_month,
    "outcome": _COLUMNS.outcome,
    "saveType": _COLUMNS.save_type,
    "offerType": _COLUMNS.offer_type,
    "response": _COLUMNS.response,
    "aborted": _COLUMNS.is_aborted,
    "canceled": _COLUMNS.is_canceled,
    "trial": _COLUMNS.is_trial,
    "bounced": _COLUMNS.is_bounced,
    "segmentId": _COLUMNS.segment_id,
    "abtest": _COLUMNS.test_id,
    "blueprintId": _COLUMNS.flow_version_id,
    "entry": _COLUMNS.entry,
    "planId": _COLUMNS.plan_id,
    "billingInterval": _COLUMNS.billing_interval,
    "couponId": _COLUMNS.coupon_id,
    "pauseDuration": _COLUMNS.pause_duration,
    "currency": _COLUMNS.currency,
    "sessionCurrency": _COLUMNS.session_currency,
    "ageMonths": _COLUMNS.age_months,
    "ageQuarters": _COLUMNS.age_months // _whole(3),
    "ageYears": _COLUMNS.age_months // _whole(12),
    "cooldownProjection": _COLUMNS.is_cooled_down,
}
DIMENSIONS: Final = (*TIME_UNITS, *COLUMNS)

_FILTERED: Final[Mapping[str, Sequence[Expression]]] = {
    **{name: (expression,) for name, expression in COLUMNS.items()},
    "sessionId": (_COLUMNS.session_id,),
    "customerId": (_COLUMNS.customer_id,),
    "customerEmail": (_COLUMNS.customer_email,),
    "response": (_COLUMNS.reason_id, _COLUMNS.response),  # by either
}


def expression_of(dimension: str, offsets: Sequence[Offset]) -> Expression:
    """What to group by. All units of time come as the number of the day, from which Python makes them."""
    if dimension in TIME_UNITS:
        return (_COLUMNS.begun_s + _offset(offsets)) // _whole(DAY_S)
    return COLUMNS[dimension]


def _offset(offsets: Sequence[Offset]) -> Expression:
    """Seconds to add at each instant."""
    *changing, last = offsets
    final: Expression = _whole(last.seconds)
    if not changing:
        return final
    begun_s = _COLUMNS.begun_s
    return case(
        *((begun_s < _whole(o.until_s), _whole(o.seconds)) for o in changing),
        else_=final,
    )


def condition_of(found: Filter) -> Expression:
    """Any of the values; negated, none of them, which is also true where there is no value."""
    matches = [_is_among(column, found) for column in _FILTERED[found.name]]
    if not found.is_negated:
        return or_(*matches)
    return and_(
        *(or_(column.is_(None), ~match) for column, match in zip(_FILTERED[found.name], matches, strict=True))
    )


def _is_among(column: Expression, found: Filter) -> Expression:
    if all(isinstance(value, bool) for value in found.values):
        return or_(*(column.is_(value) for value in found.values))
    return column == found.values[0] if len(found.values) == 1 else column.in_(found.values)

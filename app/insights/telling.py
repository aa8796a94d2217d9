"""Writes rows as JSON, NDJSON or CSV, piece by piece, so that what is in memory does not grow with the answer."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.core.session_record import redact
from app.db.base import dump_json, load_json
from app.insights.filters import Format

CUSTOMER: Final = (
    *("id", "email", "subscriptionId", "subscriptionStatus", "subscriptionStart"),
    *("subscriptionPeriodStart", "subscriptionPeriodEnd", "planId", "planPrice", "subscriptionPrice"),
    *("currency", "itemQuantity", "billingInterval", "billingIntervalCount"),
    *("onTrial", "trialStart", "trialEnd", "paused", "pauseEnd"),
    *("subscriptionDiscount", "metadata", "customAttributes"),
)
ACCEPTED: Final = (
    *("guid", "offerType", "status", "couponId", "couponType", "couponAmount", "couponDuration"),
    *("pauseDuration", "pauseInterval", "pauseEnd", "newPlanId", "newPlanPrice"),
    *("trialExtensionDays", "redirectUrl"),
)
PLAIN: Final = (
    *("_id", "createdAt", "closedAt", "updatedAt", "org", "mode", "provider", "entry", "locale"),
    *("blueprintId", "flowVersion", "segmentId", "abtest"),
    *("outcome", "saveType", "canceled", "aborted", "bounced"),
    *("surveyId", "surveyChoiceId", "surveyChoiceValue"),
    *("followupQuestion", "followupOptionId", "followupResponse", "feedback"),
    *("usedClickToCancel", "clickToCancelEnabled", "exitPolicy", "region"),
)
LISTS: Final = ("stepsViewed", "presentedOffers", "effects")
# New ones go to the end: there are programs that count columns.
MORE: Final = (
    *("lang", "billingKnown", "manualReasons", "rules"),
    *("discountCooldown", "discountCooldownApplied", "pauseCooldown", "pauseCooldownApplied"),
    *("erasedAt", "customer.latestDiscountExpiration", "acceptedOffer.decisionId"),
)
SESSION_COLUMNS: Final = (
    *PLAIN,
    *(f"customer.{name}" for name in CUSTOMER),
    *(f"acceptedOffer.{name}" for name in ACCEPTED),
    *LISTS,
    *MORE,
)
_PLACES: Final = tuple(column.rpartition(".")[::2] for column in SESSION_COLUMNS)

# A spreadsheet takes what begins so for a formula, and runs it; some take full-width marks for the plain ones.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")


def session_texts(records: Iterable[str], *, has_pii: bool) -> list[str]:
    """Each record's JSON, as it is stored or without its personal data."""
    return list(records) if has_pii else [dump_json(redact(load_json(record))) for record in records]


def session_rows(records: Iterable[str], format: Format, *, has_pii: bool) -> str:
    """A piece of an answer in NDJSON or CSV."""
    if format == "csv":
        told = (load_json(record) for record in records)
        return csv_lines(flat_session(one if has_pii else redact(one)) for one in told)
    return "".join(f"{text}\n" for text in session_texts(records, has_pii=has_pii))


def flat_session(told: Mapping[str, Any]) -> list[Any]:
    """The values of SESSION_COLUMNS."""
    parts = {"": told, "customer": told["customer"], "acceptedOffer": told["acceptedOffer"] or {}}
    return [parts[part].get(name) for part, name in _PLACES]


def plain_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], format: Format) -> str:
    """Rows that are all there, in the format that was asked for; JSON in its envelope."""
    match format:
        case "json":
            return dump_json({"data": list(rows)})
        case "ndjson":
            return "".join(f"{dump_json(row)}\n" for row in rows)
        case "csv":
            return csv_lines([columns]) + csv_lines([row[name] for name in columns] for row in rows)


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """RFC 4180, with lines that end in CR LF; nothing is an empty cell."""
    written = io.StringIO()
    csv.writer(written).writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case _:
            return dump_json(value)

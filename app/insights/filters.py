"""Reads what a request of the Data API asks for: filters, span of time, paging, format. Everything that is wrong is
named."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from app.core.calendar import is_date_only, parse_moment, to_utc
from app.core.email_address import address_key
from app.core.errors import FieldError, InvalidInput
from app.core.fields import is_clean
from app.core.flow import OfferKind
from app.core.session_record import ABANDON
from app.core.state import Outcome
from app.core.time_buckets import midnight
from app.sessions.proof import known_zone

Value = str | int | bool
Format = Literal["json", "ndjson", "csv"]

MAX_LIMIT: Final = 10_000
DEFAULT_LIMIT: Final = 100
MAX_SKIP: Final = 10_000_000  # what it costs is bounded by the time that a question may take
MAX_VALUES: Final = 50  # of one filter
MAX_VALUE: Final = 320
MAX_NAME: Final = 100
MOST_PROBLEMS: Final = 50  # that one refusal lists
FORMATS: Final[Mapping[str, Format]] = {"json": "json", "ndjson": "ndjson", "csv": "csv"}
MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}
UTC_ZONE: Final = ZoneInfo("UTC")
OFFER_TYPES: Final = tuple(kind.upper() for kind in OfferKind)

_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)


class InvalidParameters(InvalidInput):
    """What is wrong with a question, by name."""

    def __init__(self, *wrong: FieldError) -> None:
        super().__init__(fields=wrong)

    def __str__(self) -> str:
        return "; ".join(f"{error.field}: {error.message}" for error in self.fields)


class Refused(ValueError):
    """A value that is not one; the message says what is."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: any of the values, or, negated, none of them (and then also nothing at all)."""

    name: str
    values: tuple[Value, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which sessions are meant. `start` is included, `end` is not; both are instants, the zone says how days fall."""

    filters: tuple[Filter, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    zone: ZoneInfo = UTC_ZONE

    def asks_about(self, name: str) -> bool:
        return any(found.name == name for found in self.filters)


@dataclass(frozen=True, slots=True)
class SessionsQuery:
    selection: Selection
    limit: int = DEFAULT_LIMIT
    skip: int = 0
    cursor: str | None = None
    format: Format = "json"


def _text(raw: str) -> Value:
    if not raw or len(raw) > MAX_VALUE or not is_clean(raw):
        raise Refused(f"Must be 1 to {MAX_VALUE} characters without control characters.")
    return raw


def _address(raw: str) -> Value:
    return address_key(str(_text(raw)))


def _flag(raw: str) -> Value:
    if raw.lower() not in ("true", "false"):
        raise Refused("Must be true or false.")
    return raw.lower() == "true"


def _whole(raw: str) -> Value:
    if not _DIGITS.fullmatch(raw):
        raise Refused("Must be a whole number.")
    return int(raw)


def _currency(raw: str) -> Value:
    if not _CURRENCY.fullmatch(raw):
        raise Refused("Must be an ISO 4217 currency of three letters, such as USD.")
    return raw.upper()


def _one_of(*known: str, upper: bool = False) -> Callable[[str], Value]:
    def read(raw: str) -> Value:
        value = raw.upper() if upper else raw.lower()
        if value not in known:
            raise Refused(f"Must be one of {', '.join(known)}.")
        return value

    return read


FILTERS: Final[Mapping[str, Callable[[str], Value]]] = {
    "sessionId": _text,
    "customerId": _text,
    "customerEmail": _address,
    "segmentId": _text,
    "abtest": _text,
    "blueprintId": _text,
    "outcome": _one_of(*Outcome),
    "saveType": _one_of(*OFFER_TYPES, ABANDON, upper=True),
    "offerType": _one_of(*OFFER_TYPES, upper=True),
    "response": _text,
    "aborted": _flag,
    "canceled": _flag,
    "trial": _flag,
    "bounced": _flag,
    "planId": _text,
    "billingInterval": _one_of("day", "week", "month", "year"),
    "couponId": _text,
    "pauseDuration": _whole,
    "sessionCurrency": _currency,
    "ageYears": _whole,
}
SPAN: Final = ("startDate", "endDate", "timeZone")


class Given:
    """The parameters of a request; what is taken is checked, what is left at the end is unknown."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = defaultdict(list)
        for name, value in pairs:
            self._values[name].append(value)
        self.problems: list[FieldError] = []

    def once(self, name: str) -> str | None:
        values = self._values.pop(name, [])
        if len(values) > 1:
            self.refuse(name, "Give this once.")
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return self._values.pop(name, [])

    def refuse(self, name: str, message: str) -> None:
        self.problems.append(FieldError(name[:MAX_NAME], message))

    def finish(self) -> None:
        """Raises InvalidParameters with everything that was wrong."""
        for name in sorted(self._values):
            self.refuse(name, "There is no such parameter.")
        if self.problems:
            raise InvalidParameters(*self.problems[:MOST_PROBLEMS])

    # --- What several requests have ---------------------------------------------------------------

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        raw = self.once(name)
        if raw is None:
            return default
        if not _DIGITS.fullmatch(raw) or not least <= int(raw) <= most:
            self.refuse(name, f"Must be a whole number from {least} to {most}.")
            return default
        return int(raw)

    def format(self, accept: str) -> Format:
        """What `format` says, else the first type of the Accept header that there is; JSON otherwise."""
        raw = self.once("format")
        if raw is not None and raw not in FORMATS:
            self.refuse("format", f"Must be one of {', '.join(FORMATS)}.")
        if raw is not None:
            return FORMATS.get(raw, "json")
        types = {"text/csv": "csv", "application/x-ndjson": "ndjson", "application/json": "json"}
        wanted = (part.partition(";")[0].strip().lower() for part in accept.split(","))
        return FORMATS[next((types[name] for name in wanted if name in types), "json")]

    def selection(self) -> Selection:
        zone = self._zone()
        start, end = self._moment("startDate", zone), self._moment("endDate", zone, is_end=True)
        if start is not None and end is not None and end <= start:
            self.refuse("endDate", "Must not be before startDate.")
        filters = [
            found
            for name in FILTERS
            for is_negated in (False, True)
            if (found := self._filter(name, is_negated)) is not None
        ]
        return Selection(tuple(filters), start, end, zone)

    def day(self, name: str) -> date | None:
        """A date in UTC; of a moment, the day it falls on."""
        at = self._moment(name, UTC_ZONE)
        return at.date() if at is not None else None

    def _filter(self, name: str, is_negated: bool) -> Filter | None:
        written = f"-{name}" if is_negated else name
        raw = self.all(written)
        if len(raw) > MAX_VALUES:
            self.refuse(written, f"Give at most {MAX_VALUES} values.")
            return None
        values = []
        for value in raw:
            try:
                values.append(FILTERS[name](value))
            except Refused as refused:
                self.refuse(written, str(refused))
        return Filter(name, tuple(dict.fromkeys(values)), is_negated) if values else None

    def _zone(self) -> ZoneInfo:
        raw = self.once("timeZone")
        name = known_zone(raw) if raw is not None else "UTC"
        if name is None:
            self.refuse("timeZone", "Must be a time zone of the IANA database, such as Europe/Berlin.")
        return ZoneInfo(name or "UTC")

    def _moment(self, name: str, zone: ZoneInfo, *, is_end: bool = False) -> datetime | None:
        """An end is included: a day as a whole, a moment itself."""
        raw = self.once(name)
        if raw is None:
            return None
        try:
            if not is_date_only(raw):
                at = parse_moment(raw)
                return at + timedelta(microseconds=1) if is_end else at
            parse_moment(raw)  # years as everywhere
            on = date.fromisoformat(raw)
            return to_utc(midnight(on + timedelta(days=1) if is_end else on, zone))
        except (ValueError, OverflowError) as error:
            said = str(error) if not isinstance(error, OverflowError) else "There is no such date or time."
            self.refuse(name, said if said.endswith(".") else "There is no such date or time.")
            return None


def read_sessions_query(pairs: Sequence[tuple[str, str]], accept: str = "") -> SessionsQuery:
    """Raises InvalidParameters."""
    given = Given(pairs)
    query = SessionsQuery(
        selection=given.selection(),
        limit=given.number("limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT),
        skip=given.number("skip", 0, least=0, most=MAX_SKIP),
        cursor=_cursor(given),
        format=given.format(accept),
    )
    if query.cursor is not None and query.skip:
        given.refuse("skip", "Give cursor or skip, not both.")
    given.finish()
    return query


def _cursor(given: Given) -> str | None:
    raw = given.once("cursor")
    if raw is not None and (not raw or len(raw) > MAX_NAME or not raw.isascii() or not raw.isprintable()):
        given.refuse("cursor", "Must be the nextCursor of an earlier answer.")
        return None
    return raw

"""A subscription as Maxio tells of it in several answers, and what is plain to see in them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from app.adapters.billing.maxio.values import MARKER, currency_code, identity, moment, text

OVER: Final = frozenset({"canceled", "expired", "failed_to_create"})
_MOVED: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Site:
    """What is true of the whole site, as far as it matters here."""

    id: str
    name: str | None
    currency: str | None
    is_test: bool | None
    has_renewal_contracts: bool


@dataclass(frozen=True, slots=True)
class Marker:
    """What we leave at a subscription while a pause is made, ended or cancelled.

    `paid_until` is the renewal before the pause, `renews_at` the one that the pause moved it to (the same where it
    moved nothing).
    """

    effect_id: str
    paid_until: datetime
    renews_at: datetime

    def written(self) -> str:
        return f"{self.effect_id} {self.paid_until.isoformat()} {self.renews_at.isoformat()}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A subscription as Maxio tells of it in several answers."""

    raw: Mapping[str, Any]
    site: Site
    components: Sequence[Mapping[str, Any]] = ()
    custom: Mapping[str, str] = field(default_factory=dict)
    renewal_contracts: Sequence[Mapping[str, Any]] = ()

    @property
    def state(self) -> str:
        return str(self.raw.get("state"))

    @property
    def renews_at(self) -> datetime | None:
        return moment(self.raw.get("current_period_ends_at")) or moment(self.raw.get("next_assessment_at"))

    @property
    def is_to_end(self) -> bool:
        return self.raw.get("cancel_at_end_of_period") is True or bool(
            self.raw.get("scheduled_cancellation_at")
        )

    @property
    def has_calendar_billing(self) -> bool:
        return self.raw.get("snap_day") is not None

    @property
    def currency(self) -> str | None:
        return currency_code(self.raw.get("currency")) or self.site.currency

    @property
    def marker(self) -> Marker | None:
        """What we wrote here, while the renewal is still where it was put then."""
        parts = self.custom.get(MARKER, "").split()
        dates = [moment(part) for part in parts[1:]]
        if len(parts) != 3 or dates[0] is None or dates[1] is None or self.renews_at is None:
            return None
        is_there = abs(self.renews_at - dates[1]) < _MOVED
        return Marker(parts[0], dates[0], dates[1]) if is_there else None

    @property
    def paid_until(self) -> datetime | None:
        """When what is paid for runs out, whatever a pause has done to the renewal."""
        return self.marker.paid_until if self.marker else self.renews_at


def read_site(raw: Mapping[str, Any]) -> Site:
    is_test = raw.get("test")
    return Site(
        id=text(raw.get("subdomain")) or identity(raw.get("id")) or "",
        name=text(raw.get("name")),
        currency=currency_code(raw.get("currency")),
        is_test=is_test if isinstance(is_test, bool) else None,
        has_renewal_contracts=raw.get("auto_renewals_enabled") is True,
    )

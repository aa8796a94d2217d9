"""Which of the catalogue's sentences stand over a screen: title and lead. Decides no outcome."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from app.cancel.screens import Facts
from app.web.copy import Copy
from app.web.formats import Formats

ResultKind = Literal[
    "canceled",
    "canceled_now",
    "canceled_requested",
    "kept",
    "discount_accepted",
    "pause_accepted",
    "pause_of_paid_time",
    "plan_switched",
    "trial_extended",
    "support_requested",
    "redirected",
    "uncanceled",
    "resumed",
    "manual_cancellation_requested",
    "cancel_already_scheduled",
    "dismissed",
    "expired",
]
NoticeKind = Literal["link_unknown", "other_browser", "code_elsewhere", "nothing_to_cancel", "nothing_found"]
OverKind = Literal["link_expired", "link_used", "link_revoked", "session_expired"]
WayIn = Literal["entry", "request"]
_WAITS: Final = (("second", 1), ("minute", 60), ("hour", 3600))
ConfirmKind = Literal["period_end", "now", "trial", "unknown", "request"]


@dataclass(frozen=True, slots=True)
class Words:
    title: str
    lead: str


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one visitor's language and one merchant's name."""

    copy: Copy
    formats: Formats
    brand: str

    def result(self, kind: ResultKind, facts: Facts) -> Words:
        """Return what a result page says; `kind` is the outcome, or how a cancellation came to be."""
        return self._of(f"result.{kind}", facts)

    def notice(self, kind: NoticeKind) -> Words:
        """Return what a page says that stops here."""
        return self._of(f"notice.{kind}", Facts())

    def over(self, kind: OverKind, way: WayIn) -> Words:
        """Return what a page says that was led to by something which is over: what happened, and how to go on here."""
        said = self._of(f"notice.{kind}", Facts())
        return Words(said.title, f"{said.lead} {self.copy.t(f'{way}.way', brand=self.brand)}")

    def wait(self, seconds: float) -> str:
        """Return how long somebody has to wait, rounded up: `40 seconds`, `12 minutes`, `3 hours`."""
        unit, size = next(((unit, size) for unit, size in _WAITS if seconds <= 90 * size), _WAITS[-1])
        return self.copy.t(f"wait.{unit}", count=max(1, math.ceil(seconds / size)))

    def confirm(self, kind: ConfirmKind, facts: Facts) -> Words:
        """Return what the confirm step says when the flow's author wrote nothing."""
        title = "confirm.title" if facts.plan else "confirm.title_plain"
        args = self._args(facts)
        return Words(self.copy.t(title, **args), self.copy.t(f"confirm.lead.{kind}", **args))

    def _of(self, key: str, facts: Facts) -> Words:
        args = self._args(facts)
        return Words(self.copy.t(f"{key}.title", **args), self.copy.t(f"{key}.lead", **args))

    def _args(self, facts: Facts) -> dict[str, str]:
        """Return every argument a sentence may name; empty is what its caller knows it does not name."""
        days = {
            "ends": facts.ends_at,
            "resumes": facts.resumes_at,
            "renews": facts.renews_at,
            "trial_ends": facts.trial_ends_at,
        }
        return {
            "brand": self.brand,
            "plan": facts.plan or self.copy.t("words.subscription"),
            "new_plan": facts.new_plan or self.copy.t("words.new_plan"),
            **{name: self.formats.day(moment) if moment else "" for name, moment in days.items()},
        }

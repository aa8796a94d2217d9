"""What each template of the hosted page gets: one frozen dataclass a template. No logic.

Texts that a merchant wrote arrive filled in; `body` is markup that was sanitised. The templates format
money and dates, and take every other word from the catalogue.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from markupsafe import Markup

from app.core import summary, terms
from app.core.money import Money

# --- Parts ----------------------------------------------------------------------------------------


Price = summary.Price
Charge = summary.Charge
Facts = summary.Summary
Tax = terms.Tax
Tone = Literal["done", "waiting", "plain"]
_NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class Link:
    label: str
    href: str


# --- Steps ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FollowUpOption:
    id: str
    label: str


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The question under a reason, typed where it has no options. `answer`: the text, or the option's id."""

    question: str
    options: tuple[FollowUpOption, ...] = ()
    is_required: bool = False
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    id: str
    label: str
    follow_up: FollowUp | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    template: ClassVar[str] = "cancel/steps/survey.html"
    title: str
    reasons: tuple[Reason, ...]
    body: Markup | None = None
    chosen: str | None = None
    can_skip: bool = True
    max_length: int = 2_000


@dataclass(frozen=True, slots=True)
class Feedback:
    template: ClassVar[str] = "cancel/steps/feedback.html"
    title: str
    body: Markup | None = None
    hint: str | None = None
    text: str = ""
    can_skip: bool = True
    min_length: int = 0
    max_length: int = 2_000


@dataclass(frozen=True, slots=True)
class Message:
    template: ClassVar[str] = "cancel/steps/message.html"
    title: str
    body: Markup | None = None
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Confirm:
    """`is_request`: it cannot be carried out by itself; what is sent is a request that a person works on."""

    template: ClassVar[str] = "cancel/steps/confirm.html"
    title: str
    lead: str
    facts: Facts
    body: Markup | None = None
    losses: tuple[str, ...] = ()
    acknowledge: str | None = None
    has_acknowledged: bool = False
    is_request: bool = False


# --- Offers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DiscountCard:
    """`saving` is the discount in words (`50%`, `$5.00`); `months` goes with `repeating`."""

    template: ClassVar[str] = "cancel/offers/discount.html"
    saving: str
    duration: Literal["once", "repeating", "forever"]
    price_before: Price
    price_after: Price
    months: int | None = None
    next_charge: Charge | None = None
    back_to: Charge | None = None
    tax: Tax | None = None


@dataclass(frozen=True, slots=True)
class PauseOption:
    id: str
    unit: Literal["week", "month"]
    count: int
    resumes_at: datetime
    renews_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PauseCard:
    """Either `options`, or the days between which the customer picks a date (`option` is then ISO).

    With `renews_before` the time is paid for already: the break begins now, and that renewal moves to an option's own.
    """

    template: ClassVar[str] = "cancel/offers/pause.html"
    price: Price | None = None
    options: tuple[PauseOption, ...] = ()
    earliest: datetime | None = None
    latest: datetime | None = None
    chosen: str | None = None
    renews_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class PlanTile:
    id: str
    name: str
    price: Price
    tagline: str | None = None
    features: tuple[str, ...] = ()
    list_price: Money | None = None


@dataclass(frozen=True, slots=True)
class PlanChangeCard:
    template: ClassVar[str] = "cancel/offers/plan_change.html"
    plan: str
    tiles: tuple[PlanTile, ...]
    price: Price | None = None
    starts_at: datetime | None = None
    chosen: str | None = None
    tax: Tax | None = None


@dataclass(frozen=True, slots=True)
class TrialExtensionCard:
    template: ClassVar[str] = "cancel/offers/trial_extension.html"
    days: int
    ends_before: datetime
    ends_after: datetime
    first_charge: Charge | None = None


@dataclass(frozen=True, slots=True)
class ContactCard:
    """`place` is where it leads, as a person reads it: an address or a host name."""

    template: ClassVar[str] = "cancel/offers/contact.html"
    label: str
    place: str
    is_email: bool = False


@dataclass(frozen=True, slots=True)
class RedirectCard:
    template: ClassVar[str] = "cancel/offers/redirect.html"
    label: str
    place: str


OfferCard = DiscountCard | PauseCard | PlanChangeCard | TrialExtensionCard | ContactCard | RedirectCard


@dataclass(frozen=True, slots=True)
class Offer:
    template: ClassVar[str] = "cancel/steps/offer.html"
    title: str
    decision: str
    card: OfferCard
    accept_label: str
    decline_label: str
    body: Markup | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """The provider did not take the change. `reason` is its sentence, where it gave one for people; `way_on`
    says where declining leads: on to cancelling, or back to how things were."""

    template: ClassVar[str] = "cancel/trouble.html"
    title: str
    reason: str | None = None
    decision: str | None = None
    can_retry: bool = True
    way_on: Literal["cancel", "back"] = "cancel"


# --- States of a subscription ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SubscriptionChoice:
    """`state` says what happens at `at`: it renews, its trial ends, it ends, it resumes. `account` says whose it is,
    where there are several to tell apart."""

    id: str
    name: str
    price: Price | None = None
    state: Literal["renews", "trial", "ends", "paused"] = "renews"
    at: datetime | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Chooser:
    """Of one customer's subscriptions, or of several customers' who have the same address."""

    template: ClassVar[str] = "cancel/choose.html"
    title: str
    subscriptions: tuple[SubscriptionChoice, ...]
    chosen: str | None = None


@dataclass(frozen=True, slots=True)
class Scheduled:
    template: ClassVar[str] = "cancel/scheduled.html"
    title: str
    facts: Facts
    ends_at: datetime
    can_uncancel: bool = True
    return_link: Link | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    template: ClassVar[str] = "cancel/paused.html"
    title: str
    facts: Facts
    resumes_at: datetime | None = None
    can_resume: bool = True
    paid_until: datetime | None = (
        None  # None where nothing is paid for any more: then resuming may cost at once
    )


# --- While and after ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Working:
    """The change is on its way. `what` is its type; the page looks again every few seconds."""

    template: ClassVar[str] = "cancel/working.html"
    title: str
    what: Literal[
        "open", "cancel", "uncancel", "discount", "pause", "resume", "plan_change", "trial_extension"
    ]


@dataclass(frozen=True, slots=True)
class Proof:
    """The receipt of what a screen says. `mailed_to` tells its owner which address it is, and nobody else."""

    href: str
    mailed_to: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """`onward` leads where an accepted contact or redirect offer goes. Words: `words.result`."""

    template: ClassVar[str] = "cancel/result.html"
    title: str
    lead: str
    tone: Tone = "done"
    facts: Facts = _NO_FACTS
    onward: Link | None = None
    return_link: Link | None = None
    can_uncancel: bool = False
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a customer has in writing. Times are told in UTC and by the clocks of `time_zone`, where one is known, and
    days by the latter; `records` are what can be quoted, by their names in the receipt. `issued_at`: where that was
    later than what it is about. `is_undone`: it tells what was so before."""

    template: ClassVar[str] = "cancel/receipt.html"
    title: str
    lead: str
    tone: Tone
    reference: str
    facts: Facts
    requested_at: datetime
    merchant: str
    confirmed_at: datetime | None = None
    issued_at: datetime | None = None
    ends_now: bool = False
    time_zone: str | None = None
    offer_headline: str | None = None
    offer_body: Markup | None = None
    contacts: tuple[Link, ...] = ()
    records: tuple[tuple[str, str], ...] = ()
    key_id: str | None = None
    file_href: str | None = None
    can_undo: bool = False
    is_undone: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A page that says why it stops here and how to go on. Words: `words.notice`."""

    template: ClassVar[str] = "cancel/notice.html"
    title: str
    lead: str
    contacts: tuple[Link, ...] = ()
    return_link: Link | None = None
    ways: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Idle:
    template: ClassVar[str] = "cancel/idle.html"
    title: str


@dataclass(frozen=True, slots=True)
class Landing:
    """Nothing personal: whoever holds the link sees it, scanners too."""

    template: ClassVar[str] = "cancel/landing.html"
    title: str


# --- Without a usable link ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an email address stands for a link. `link` ties what follows to the link that was over; `is_held`: no
    more codes for now, so that the request weighs as much."""

    template: ClassVar[str] = "cancel/entry.html"
    title: str
    lead: str
    request_href: str
    email: str = ""
    link: str | None = None
    is_held: bool = False
    return_link: Link | None = None


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """Where the code is typed. Says nothing about whether there is one: it looks the same for every address.

    `wait` goes with `soon` and `limited`; in `expired` and `spent` there is only a new code to ask for.
    """

    template: ClassVar[str] = "cancel/code.html"
    title: str
    state: Literal["sent", "again", "soon", "held", "expired", "spent", "limited"]
    address: str
    minutes: int
    change_href: str
    request_href: str
    typed: str = ""
    wait: str = ""


@dataclass(frozen=True, slots=True)
class Proven:
    """The address is proven and the session still to be opened."""

    template: ClassVar[str] = "cancel/proven.html"
    title: str


@dataclass(frozen=True, slots=True)
class Request:
    """Where a request is left that a person works on, by somebody whose address nobody has proven."""

    template: ClassVar[str] = "cancel/request.html"
    title: str
    lead: str
    email: str = ""
    note: str = ""
    max_length: int = 2_000
    entry_href: str | None = None
    contacts: tuple[Link, ...] = ()
    return_link: Link | None = None


Screen = (
    Survey
    | Feedback
    | Message
    | Confirm
    | Offer
    | Trouble
    | Chooser
    | Scheduled
    | Paused
    | Working
    | Result
    | Receipt
    | Notice
    | Idle
    | Landing
    | Entry
    | CodeEntry
    | Proven
    | Request
)

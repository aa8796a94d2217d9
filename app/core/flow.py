"""The shape of a cancel flow: its steps, survey reasons, offers and branches.

Pure. It says what a flow may contain; flow_check.py says whether one can be published, session.py walks it.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    model_validator,
)

from app.core.direct import DirectPrice
from app.core.fields import MAX_MINOR, Currency, Percent, is_clean, refusal
from app.core.rules import Rule


class OfferKind(StrEnum):
    DISCOUNT = "discount"
    PAUSE = "pause"
    PLAN_CHANGE = "plan_change"
    TRIAL_EXTENSION = "trial_extension"
    CONTACT = "contact"
    REDIRECT = "redirect"


class Part(BaseModel):
    """What every part of a flow shares: immutable, no coercion, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


# --- Values ---------------------------------------------------------------------------------------

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise refusal("Must be 1 to 40 lower-case letters, digits and hyphens, as in too-expensive.")
    return text


def _line(text: str) -> str:
    if not is_clean(text):
        raise refusal("Must be a single line without control characters.")
    return text


def _text(text: str) -> str:
    if not is_clean(text, allowed="\n\t"):
        raise refusal("Control characters are not allowed here, except line feeds and tabs.")
    return text


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        is_whole = False
    if not is_whole or not is_clean(url) or any(map(str.isspace, url)):
        raise refusal("Must be an https address, such as https://example.com/help.")
    return url


def _email(address: str) -> str:
    if not is_clean(address) or not _EMAIL.fullmatch(address):
        raise refusal("Must be an email address, such as help@example.com.")
    return address


Slug = Annotated[
    str,
    AfterValidator(_slug),
    Field(json_schema_extra={"pattern": "^[a-z0-9][a-z0-9-]{0,39}$"}),
]
Line = Annotated[
    str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True), AfterValidator(_line)
]
RichText = Annotated[
    str, StringConstraints(min_length=1, max_length=5_000, strip_whitespace=True), AfterValidator(_text)
]
ExternalId = Annotated[
    str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True), AfterValidator(_line)
]
WebAddress = Annotated[
    str, Field(max_length=2_000, json_schema_extra={"format": "uri"}), AfterValidator(_web_address)
]
EmailAddress = Annotated[
    str, Field(max_length=254, json_schema_extra={"format": "email"}), AfterValidator(_email)
]
CooldownDays = Annotated[int, Field(ge=0, le=3_650)]
MinLength = Annotated[
    int, Field(ge=0, le=500, description="Characters that an answer needs, if one is given.")
]
When = Annotated[
    Rule | None, Field(description="Only where this rule is true; on a missing attribute no rule is.")
]


# --- Offers ---------------------------------------------------------------------------------------


class OfferCopy(Part):
    """The words of an offer; what is left out is said in the page's own words."""

    headline: Line | None = None
    body: RichText | None = Field(
        None, description="Rich text (HTML), sanitised. Merge fields: {{name|fallback}}."
    )
    cta: Line | None = Field(None, description="The button that accepts.")
    decline_cta: Line | None = Field(None, description="The button that declines. Equal in weight; be kind.")


class OfferBase(Part):
    id: Slug
    when: When = None
    cooldown_days: CooldownDays | None = Field(
        None, description="Days before a customer may get this kind again; overrides the flow's cooldowns."
    )
    wording: OfferCopy = Field(default_factory=OfferCopy, alias="copy")


class MoneyAmount(Part):
    """An amount in a currency's smallest unit (cents for EUR, yen for JPY)."""

    minor: int = Field(ge=1, le=MAX_MINOR)
    currency: Currency = Field(description="ISO 4217, as in EUR.")


class DiscountOffer(OfferBase):
    """A lower price: a coupon of the billing provider, a percentage or an amount."""

    kind: Literal["discount"]
    coupon_id: ExternalId | None = Field(None, description="A coupon that exists at the billing provider.")
    percent: Percent | None = Field(None, description="Percent off, above 0 up to 100.")
    amount: MoneyAmount | None = Field(None, description="Amount off each charge.")
    duration: Literal["once", "repeating", "forever"] | None = Field(
        None, description="How long a percentage or amount lasts: the next charge, `months`, or for good."
    )
    months: Annotated[int, Field(ge=1, le=36)] | None = Field(None, description="With `duration: repeating`.")

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        given = [name for name in ("coupon_id", "percent", "amount") if getattr(self, name) is not None]
        if len(given) != 1:
            raise refusal("Needs exactly one of coupon_id, percent and amount.")
        if self.coupon_id is not None:
            if self.duration is not None or self.months is not None:
                raise refusal("A coupon has its own duration: leave out duration and months.")
        elif self.duration is None:
            raise refusal("Needs a duration: once, repeating or forever.")
        elif (self.duration == "repeating") != (self.months is not None):
            raise refusal("Months belongs to duration: repeating, and only to it.")
        return self


class PauseOffer(OfferBase):
    """A break that the customer measures: 1 to `max` weeks or months, or until a date within that span."""

    kind: Literal["pause"]
    unit: Literal["week", "month"] = "month"
    max: int = Field(3, ge=1, le=26, description="The longest break: up to 12 months or 26 weeks.")
    resume_date: bool = Field(False, description="The customer picks the date of return instead.")

    @model_validator(mode="after")
    def _at_most_a_year(self) -> Self:
        if self.unit == "month" and self.max > 12:
            raise refusal("Max is at most 12 with unit: month.")
        return self


class PlanOption(Part):
    """A cheaper plan to move to."""

    price_id: ExternalId = Field(description="The price at the billing provider.")
    tagline: Line | None = None
    features: list[Line] = Field(default_factory=list, max_length=12)
    msrp_minor: int | None = Field(
        None, ge=0, le=MAX_MINOR, description="A list price to show struck through."
    )
    price: DirectPrice | None = Field(
        None, description="The price itself, where the provider has no catalogue."
    )

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.price is not None and self.price.id != self.price_id:
            raise refusal("Price.id differs from price_id.")
        return self


class PlanChangeOffer(OfferBase):
    """Up to three cheaper plans, from the next renewal on."""

    kind: Literal["plan_change"]
    plans: list[PlanOption] = Field(min_length=1, max_length=3)


class TrialExtensionOffer(OfferBase):
    """More days of trial, counted from the trial's end."""

    kind: Literal["trial_extension"]
    days: int = Field(ge=1, le=30)
    max_per_customer: int = Field(1, ge=1, le=10)


class ContactOffer(OfferBase):
    """A way to talk to someone; without url and email, the organization's own contact."""

    kind: Literal["contact"]
    url: WebAddress | None = None
    email: EmailAddress | None = None
    label: Line | None = None

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.url is not None and self.email is not None:
            raise refusal("Takes url or email, not both.")
        return self


class RedirectOffer(OfferBase):
    """A link to somewhere that may help, such as a guide."""

    kind: Literal["redirect"]
    url: WebAddress
    label: Line | None = None


Offer = Annotated[
    DiscountOffer | PauseOffer | PlanChangeOffer | TrialExtensionOffer | ContactOffer | RedirectOffer,
    Field(discriminator="kind"),
]


# --- Steps ----------------------------------------------------------------------------------------


class Branch(Part):
    """Go on at a later step, when the rule is true."""

    when: When = None
    goto: Slug = Field(description="The id of a later step.")


class StepBase(Part):
    id: Slug
    title: Line | None = Field(None, description="The page's heading. Merge fields: {{name|fallback}}.")
    body: RichText | None = Field(
        None, description="Rich text (HTML), sanitised. Merge fields: {{name|fallback}}."
    )
    when: When = None
    branches: list[Branch] = Field(default_factory=list, max_length=20)


class FollowUpOption(Part):
    id: Slug
    label: Line


class TextFollowUp(Part):
    """A question answered in the customer's own words."""

    kind: Literal["text"]
    question: Line
    required: bool = False
    min_length: MinLength = 0


class OptionsFollowUp(Part):
    """A question with answers to choose from."""

    kind: Literal["options"]
    question: Line
    required: bool = False
    options: list[FollowUpOption] = Field(min_length=2, max_length=20)


FollowUp = Annotated[TextFollowUp | OptionsFollowUp, Field(discriminator="kind")]


class Reason(Part):
    """Why someone leaves, and what may be said to it."""

    id: Slug
    label: Line
    when: When = None
    follow_up: FollowUp | None = None
    offers: list[Offer] = Field(
        default_factory=list, max_length=10, description="The first eligible one is shown after the survey."
    )


class SurveyStep(StepBase):
    """One question: why?"""

    kind: Literal["survey"]
    required: bool = Field(False, description="Even then the customer can always leave by Cancel now.")
    randomize: bool = Field(False, description="Show the reasons in a different order to each customer.")
    reasons: list[Reason] = Field(min_length=1, max_length=20)


class OfferStep(StepBase):
    """The first eligible of its offers; without one, the step is not shown."""

    kind: Literal["offer"]
    offers: list[Offer] = Field(min_length=1, max_length=10)


class FeedbackStep(StepBase):
    """A free text."""

    kind: Literal["feedback"]
    required: bool = False
    min_length: MinLength = 0
    placeholder: Line | None = None


class MessageStep(StepBase):
    """Something to know before leaving, such as what is lost."""

    kind: Literal["message"]
    points: list[Line] = Field(default_factory=list, max_length=12)


class ConfirmStep(StepBase):
    """The last step: what ends when, and the button that cancels."""

    kind: Literal["confirm"]
    timing: Literal["period_end", "now"] = "period_end"
    losses: list[Line] = Field(default_factory=list, max_length=12)
    acknowledge: Line | None = Field(None, description="A sentence to be ticked before cancelling.")


Step = Annotated[
    SurveyStep | OfferStep | FeedbackStep | MessageStep | ConfirmStep, Field(discriminator="kind")
]


class FlowDefinition(Part):
    """A cancel flow: the steps a customer is taken through, the last of which confirms."""

    version: Literal[1] = Field(1, description="The format's version.")
    name: Line = Field(description="For the merchant; customers never see it.")
    cooldowns: dict[Annotated[OfferKind, Strict(False)], CooldownDays] = Field(
        default_factory=dict, description="Days before a customer may get an offer of that kind again."
    )
    steps: list[Step] = Field(min_length=1, max_length=20)

    def find_step(self, step_id: str) -> Step | None:
        return next((step for step in self.steps if step.id == step_id), None)


def dump_flow(definition: FlowDefinition) -> dict[str, Any]:
    """The definition as JSON, without what is at its default; parse_flow reads it back to an equal one."""
    written = definition.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    return {"version": definition.version, **written}

"""The shape of a cancel flow: its steps, survey reasons, offers and branches.

Pure. It says what a flow may contain; flow_check.py says whether one can be published, session.py walks it.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.direct import DirectPrice
from app.core.fields import MAX_MINOR, Currency, Percent, is_clean, refusal
from app.core.rules import Rule

Given = TypeVar("Given")


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


def _missing() -> PydanticCustomError:
    """For a field that another one makes necessary."""
    return PydanticCustomError("missing", "This field is required.")


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
    """Nothing that a browser and a program could read in two ways; adapters.addresses refuses the same."""
    if not url.isascii():
        raise refusal("Must be ASCII: percent-encode the path, and write the host in its xn-- form.")
    if "\\" in url or not is_clean(url) or any(map(str.isspace, url)):
        raise refusal("Must not contain spaces, backslashes or control characters.")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
        is_whole = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        is_whole = False
    if not is_whole:
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
RULE_SCHEMA = {"title": "Rule", "x-rule": True}  # flow_schema.py puts a reference to the real one here
When = Annotated[
    Annotated[Rule, WithJsonSchema(RULE_SCHEMA)] | None,
    Field(description="Only where this rule is true; on a missing attribute no rule is."),
]


# --- Offers ---------------------------------------------------------------------------------------


class OfferCopy(Part):
    """The words of an offer; what is left out is said in the page's own words."""

    headline: Line | None = None
    body: RichText | None = Field(default=None, description="Sanitised HTML with merge fields.")
    cta: Line | None = Field(default=None, description="The button that accepts.")
    decline_cta: Line | None = Field(default=None, description="The button that declines.")


class OfferBase(Part):
    id: Slug
    when: When = None
    cooldown_days: CooldownDays | None = Field(
        default=None,
        description="Days before the same kind again; overrides the flow's.",
    )
    wording: OfferCopy = Field(default=OfferCopy(), alias="copy")


class MoneyAmount(Part):
    """An amount in a currency's smallest unit (cents for EUR, yen for JPY)."""

    minor: int = Field(ge=1, le=MAX_MINOR)
    currency: Currency = Field(description="ISO 4217, as in EUR.")


class DiscountOffer(OfferBase):
    """A lower price: a coupon of the billing provider, a percentage or an amount."""

    kind: Literal["discount"]
    coupon_id: ExternalId | None = Field(default=None, description="A coupon that exists at the provider.")
    percent: Percent | None = Field(default=None, description="Percent off, above 0 up to 100.")
    amount: MoneyAmount | None = Field(default=None, description="Amount off each charge.")
    duration: Literal["once", "repeating", "forever"] | None = Field(
        default=None,
        validate_default=True,
        description="How long a percentage or amount lasts: the next charge, `months`, or for good.",
    )
    months: Annotated[int, Field(ge=1, le=36)] | None = Field(
        default=None, validate_default=True, description="With `duration: repeating`."
    )

    @field_validator("percent", "amount")
    @classmethod
    def _says_it_once(cls, value: Given, info: ValidationInfo) -> Given:
        if value is not None and any(info.data.get(name) is not None for name in ("coupon_id", "percent")):
            raise refusal("Give only one of coupon_id, percent and amount.")
        return value

    @field_validator("duration")
    @classmethod
    def _lasts(cls, duration: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("coupon_id") is not None:
            if duration is not None:
                raise refusal("A coupon has its own duration: leave this out.")
        elif duration is None:
            raise _missing()
        return duration

    @field_validator("months")
    @classmethod
    def _counts_repeating(cls, months: int | None, info: ValidationInfo) -> int | None:
        is_repeating = info.data.get("duration") == "repeating"
        if is_repeating and months is None:
            raise _missing()
        if months is not None and not is_repeating and "duration" in info.data:
            raise refusal("Goes only with duration: repeating.")
        return months

    @model_validator(mode="after")
    def _says_it(self) -> Self:
        if self.coupon_id is None and self.percent is None and self.amount is None:
            raise refusal("Give coupon_id, percent or amount.")
        return self


class PauseOffer(OfferBase):
    """A break that the customer measures: 1 to `max` weeks or months, or until a date within that span."""

    kind: Literal["pause"]
    unit: Literal["week", "month"] = "month"
    max: int = Field(default=3, ge=1, le=26, description="The longest break: up to 12 months or 26 weeks.")
    resume_date: bool = Field(default=False, description="The customer picks the date of return instead.")

    @field_validator("max")
    @classmethod
    def _at_most_a_year(cls, longest: int, info: ValidationInfo) -> int:
        if info.data.get("unit") == "month" and longest > 12:
            raise refusal("Must be at most 12 with unit: month.")
        return longest


class PlanOption(Part):
    """A cheaper plan to move to."""

    price_id: ExternalId = Field(description="The price at the billing provider.")
    tagline: Line | None = None
    features: list[Line] = Field(default_factory=list, max_length=12)
    msrp_minor: int | None = Field(
        default=None, ge=0, le=MAX_MINOR, description="A list price, shown struck through."
    )
    price: DirectPrice | None = Field(default=None, description="For providers without a catalogue.")

    @field_validator("price")
    @classmethod
    def _is_that_price(cls, price: DirectPrice | None, info: ValidationInfo) -> DirectPrice | None:
        if price is not None and price.id != info.data.get("price_id", price.id):
            raise refusal("Its id must be the price_id.")
        return price


class PlanChangeOffer(OfferBase):
    """Up to three cheaper plans, from the next renewal on."""

    kind: Literal["plan_change"]
    plans: list[PlanOption] = Field(min_length=1, max_length=3)


class TrialExtensionOffer(OfferBase):
    """More days of trial, counted from the trial's end."""

    kind: Literal["trial_extension"]
    days: int = Field(ge=1, le=30)
    max_per_customer: int = Field(default=1, ge=1, le=10)


class ContactOffer(OfferBase):
    """A way to talk to someone; without url and email, the organization's own contact."""

    kind: Literal["contact"]
    url: WebAddress | None = None
    email: EmailAddress | None = None
    label: Line | None = None

    @field_validator("email")
    @classmethod
    def _only_one(cls, email: str | None, info: ValidationInfo) -> str | None:
        if email is not None and info.data.get("url") is not None:
            raise refusal("Give url or email, not both.")
        return email


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
    title: Line | None = Field(
        default=None, description="The page's heading, with merge fields: {{name|fallback}}."
    )
    body: RichText | None = Field(default=None, description="Sanitised HTML with merge fields.")
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
    required: bool = Field(default=False, description="Cancel now works all the same.")
    randomize: bool = Field(default=False, description="A different order for each customer.")
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
    acknowledge: Line | None = Field(default=None, description="A sentence to be ticked before cancelling.")


Step = Annotated[
    SurveyStep | OfferStep | FeedbackStep | MessageStep | ConfirmStep, Field(discriminator="kind")
]


class FlowDefinition(Part):
    """A cancel flow: the steps a customer is taken through, the last of which confirms."""

    version: Literal[1] = Field(default=1, description="The format's version.")
    name: Line = Field(description="For the merchant; customers never see it.")
    cooldowns: dict[Annotated[OfferKind, Strict(False)], CooldownDays] = Field(
        default_factory=dict, description="Days before a customer may get an offer of that kind again."
    )
    steps: list[Step] = Field(min_length=1, max_length=20)


def dump_flow(definition: FlowDefinition) -> dict[str, Any]:
    """The definition as JSON, without what is at its default; parse_flow reads it back to an equal one."""
    written = definition.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    return {"version": definition.version, **written}

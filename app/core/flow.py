"""The shape of a cancel flow: its steps, survey reasons, offers and branches.

Pure. It says what a flow may contain; flow_check.py says whether one can be published, session.py walks it.
"""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core import rules
from app.core.direct import DirectPrice


class OfferKind(StrEnum):
    DISCOUNT = "discount"
    PAUSE = "pause"
    PLAN_CHANGE = "plan_change"
    TRIAL_EXTENSION = "trial_extension"
    CONTACT = "contact"
    REDIRECT = "redirect"


class Shape(BaseModel):
    """What every part of a flow shares: immutable, no coercion, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- Values ----------------------------------------------------------------------------------------------------------


def _printable(text: str) -> str:
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in text):
        raise PydanticCustomError("control_character", "must not contain control characters")
    return text


def _single_line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise PydanticCustomError("single_line", "must be a single line")
    return text


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.username is None
    except ValueError:
        named = False
    if not named or parts.scheme != "https" or any(c.isspace() for c in url):
        raise PydanticCustomError("web_address", "must be an https:// address, such as https://example.com/help")
    return url


def _percent(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise PydanticCustomError("percent", "must be a number, such as 50 or 12.5")
    return Decimal(str(value))


def _plain_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _rule(value: object) -> rules.Rule:
    return rules.parse(value, "")


Slug = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$"),
    Field(description="Lower-case letters, digits and hyphens, at most 40, for example `too-expensive`."),
]
Line200 = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(_printable),
    AfterValidator(_single_line),
]
Text5000 = Annotated[
    str, StringConstraints(min_length=1, max_length=5_000, strip_whitespace=True), AfterValidator(_printable)
]
ExternalId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, strip_whitespace=True),
    AfterValidator(_printable),
    AfterValidator(_single_line),
]
WebAddress = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_web_address)]
EmailAddress = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^\s@]+@[^\s@]+\.[^\s@]+$")]
Percent = Annotated[
    Decimal,
    Strict(False),
    BeforeValidator(_percent),
    Field(gt=0, le=100, max_digits=7, decimal_places=4),
    PlainSerializer(_plain_number),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 100}),
]
CooldownDays = Annotated[int, Field(ge=0, le=3_650)]
MinLength = Annotated[
    int, Field(ge=0, le=500, description="How many characters an answer needs, if one is given.")
]
When = Annotated[
    rules.Rule,
    PlainValidator(_rule),
    PlainSerializer(rules.dump),
    WithJsonSchema({"$ref": "#/$defs/Rule"}),
]
MaybeWhen = Annotated[
    When | None, Field(description="Only where this rule is true. A rule on a missing attribute is not.")
]


# --- Offers ----------------------------------------------------------------------------------------------------------


class OfferCopy(Shape):
    """The words of an offer; what is left out is said in the page's own words."""

    headline: Line200 | None = None
    body: Text5000 | None = Field(None, description="Rich text (HTML), sanitised. Merge fields: {{name|fallback}}.")
    cta: Line200 | None = Field(None, description="The button that accepts.")
    decline_cta: Line200 | None = Field(None, description="The button that declines. Equal in weight; be kind.")


class OfferBase(Shape):
    id: Slug
    when: MaybeWhen = None
    cooldown_days: CooldownDays | None = Field(
        None, description="Days before a customer may get this kind again; overrides the flow's cooldowns."
    )
    wording: OfferCopy = Field(default_factory=OfferCopy, alias="copy")


class MoneyAmount(Shape):
    """An amount in a currency's smallest unit (cents for EUR, yen for JPY)."""

    minor: int = Field(gt=0, le=10**12)
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(description="ISO 4217, as in EUR.")


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
            raise PydanticCustomError("one_of", "needs exactly one of coupon_id, percent and amount")
        if self.coupon_id is not None:
            if self.duration is not None or self.months is not None:
                raise PydanticCustomError(
                    "coupon_duration", "a coupon has its own duration: leave out duration and months"
                )
        elif self.duration is None:
            raise PydanticCustomError("no_duration", "needs a duration: once, repeating or forever")
        elif (self.duration == "repeating") != (self.months is not None):
            raise PydanticCustomError("months", "months belongs to duration: repeating, and only to it")
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
            raise PydanticCustomError("pause_max", "max is at most 12 with unit: month")
        return self


class PlanOption(Shape):
    """A cheaper plan to move to."""

    price_id: ExternalId = Field(description="The price at the billing provider.")
    tagline: Line200 | None = None
    features: list[Line200] = Field(default_factory=list, max_length=12)
    msrp_minor: int | None = Field(None, ge=0, le=10**12, description="A list price to show struck through.")
    price: DirectPrice | None = Field(None, description="The price itself, where the provider has no catalogue.")

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.price is not None and self.price.id != self.price_id:
            raise PydanticCustomError("price_id", "price.id differs from price_id")
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
    label: Line200 | None = None

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.url is not None and self.email is not None:
            raise PydanticCustomError("one_of", "takes url or email, not both")
        return self


class RedirectOffer(OfferBase):
    """A link to somewhere that may help, such as a guide."""

    kind: Literal["redirect"]
    url: WebAddress
    label: Line200 | None = None


Offer = Annotated[
    DiscountOffer | PauseOffer | PlanChangeOffer | TrialExtensionOffer | ContactOffer | RedirectOffer,
    Field(discriminator="kind"),
]


# --- Steps -----------------------------------------------------------------------------------------------------------


class Branch(Shape):
    """Go on at a later step, when the rule is true."""

    when: MaybeWhen = None
    goto: Slug = Field(description="The id of a later step.")


class StepBase(Shape):
    id: Slug
    title: Line200 | None = Field(None, description="The page's heading. Merge fields: {{name|fallback}}.")
    body: Text5000 | None = Field(None, description="Rich text (HTML), sanitised. Merge fields: {{name|fallback}}.")
    when: MaybeWhen = None
    branches: list[Branch] = Field(default_factory=list, max_length=20)


class FollowUpOption(Shape):
    id: Slug
    label: Line200


class TextFollowUp(Shape):
    """A question answered in the customer's own words."""

    kind: Literal["text"]
    question: Line200
    required: bool = False
    min_length: MinLength = 0


class OptionsFollowUp(Shape):
    """A question with answers to choose from."""

    kind: Literal["options"]
    question: Line200
    required: bool = False
    options: list[FollowUpOption] = Field(min_length=2, max_length=20)


FollowUp = Annotated[TextFollowUp | OptionsFollowUp, Field(discriminator="kind")]


class Reason(Shape):
    """Why someone leaves, and what may be said to it."""

    id: Slug
    label: Line200
    when: MaybeWhen = None
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
    placeholder: Line200 | None = None


class MessageStep(StepBase):
    """Something to know before leaving, such as what is lost."""

    kind: Literal["message"]
    points: list[Line200] = Field(default_factory=list, max_length=12)


class ConfirmStep(StepBase):
    """The last step: what ends when, and the button that cancels."""

    kind: Literal["confirm"]
    timing: Literal["period_end", "now"] = "period_end"
    losses: list[Line200] = Field(default_factory=list, max_length=12)
    acknowledge: Line200 | None = Field(None, description="A sentence to be ticked before cancelling.")


Step = Annotated[
    SurveyStep | OfferStep | FeedbackStep | MessageStep | ConfirmStep, Field(discriminator="kind")
]


class FlowDefinition(Shape):
    """A cancel flow: the steps a customer is taken through, the last of which confirms."""

    version: Literal[1] = Field(1, description="The format's version.")
    name: Line200 = Field(description="For the merchant; customers never see it.")
    cooldowns: dict[Annotated[OfferKind, Strict(False)], CooldownDays] = Field(
        default_factory=dict, description="Days before a customer may get an offer of that kind again."
    )
    steps: list[Step] = Field(min_length=1, max_length=20)

    def find_step(self, step_id: str) -> Step | None:
        return next((step for step in self.steps if step.id == step_id), None)


def dump_flow(definition: FlowDefinition) -> dict[str, Any]:
    """The definition as JSON, without what was left at its default; parse_flow reads it back to an equal one."""
    written = definition.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    return {"version": definition.version, **written}

"""The shapes of the Data API's answers, for the published document. Records are stored in the very form that they are
told in, so nothing is built with these."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.core.calendar import Interval
from app.core.state import OfferStatus, Outcome

Moment = str
OfferType = Literal["DISCOUNT", "PAUSE", "PLAN_CHANGE", "TRIAL_EXTENSION", "CONTACT", "REDIRECT"]
SaveType = Literal["DISCOUNT", "PAUSE", "PLAN_CHANGE", "TRIAL_EXTENSION", "CONTACT", "REDIRECT", "ABANDON"]
Scalar = str | int | float | bool


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class CouponShape(Shape):
    id: str | None
    coupon_type: Literal["PERCENT", "AMOUNT"] | None
    coupon_amount: float | None = Field(description="Percent, or an amount in the smallest unit.")
    coupon_duration: int | str | None = Field(description="Months, or `once` or `forever`.")


class SubscriptionDiscountShape(Shape):
    """A discount that was at work already."""

    id: str | None
    end: Moment | None
    coupon: CouponShape


class RecordCustomer(Shape):
    """The customer and the subscription as they were when the session opened. Never a name or a phone number."""

    id: str | None = Field(description="Null once it was erased.")
    email: str | None = Field(description="Needs the scope `sessions.read_pii`.")
    subscription_id: str | None
    subscription_status: str | None
    subscription_start: Moment | None
    subscription_period_start: Moment | None
    subscription_period_end: Moment | None
    plan_id: str | None
    plan_price: int | None = Field(description="Of one unit, in the smallest unit of the currency.")
    subscription_price: int | None = Field(description="Of all items together, before discounts.")
    currency: str | None = Field(description="The price's; else the customer's.")
    item_quantity: int | None
    billing_interval: Interval | None
    billing_interval_count: int | None
    on_trial: bool | None
    trial_start: Moment | None
    trial_end: Moment | None
    paused: bool | None
    pause_end: Moment | None
    subscription_discount: SubscriptionDiscountShape | None
    latest_discount_expiration: Moment | None = Field(description="When the last of its discounts ends.")
    metadata: dict[str, Any] = Field(description="As the billing system has it. Needs `sessions.read_pii`.")
    custom_attributes: dict[str, Scalar] = Field(
        description="Yours, from the link and your customer data endpoint. Needs `sessions.read_pii`."
    )


class ViewedStep(Shape):
    """One screen that was seen, in order."""

    step_type: Literal["OFFER", "SURVEY", "FREEFORM", "CONFIRM", "CUSTOM"]
    custom_step_type: str | None = Field(description="Of `CUSTOM`: `message`, `choosing`, `trouble`, …")
    guid: str = Field(description="The step's id in the flow.")
    num_choices: int = Field(description="Reasons of a survey, ways to take an offer.")
    start: Moment
    end: Moment | None = Field(description="Null where the customer left from this screen.")
    duration: int | None = Field(description="Milliseconds.")


class DiscountConfig(Shape):
    coupon_id: str | None
    coupon_type: Literal["PERCENT", "AMOUNT"] | None
    coupon_amount: float | None
    coupon_duration: int | str | None


class PauseConfig(Shape):
    max_pause_length: int | None
    pause_interval: Literal["WEEK", "MONTH"] | None
    date_picker: bool
    latest: Moment | None


class PlanChangeConfig(Shape):
    options: list[str]


class TrialExtensionConfig(Shape):
    trial_extension_days: int | None


class RedirectConfig(Shape):
    redirect_url: str | None
    redirect_label: str | None


class ContactConfig(Shape):
    """Without URL and address it led to the organization's own contact."""

    url: str | None
    email: str | None
    label: str | None


class PresentedOffer(Shape):
    """An offer that was shown. It has the config of its own kind and no other."""

    guid: str = Field(description="The offer's id in the flow.")
    decision_id: str = Field(description="This one showing; `acceptedOffer` and `effects` have the same.")
    placement: str
    offer_type: OfferType
    status: OfferStatus
    accepted: bool
    survey_offer: bool = Field(description="Whether it answers the reason that was given.")
    presented_at: Moment
    accepted_at: Moment | None
    declined_at: Moment | None
    discount_config: DiscountConfig | None = None
    pause_config: PauseConfig | None = None
    plan_change_config: PlanChangeConfig | None = None
    trial_extension_config: TrialExtensionConfig | None = None
    redirect_config: RedirectConfig | None = None
    contact_config: ContactConfig | None = None


class AcceptedOffer(Shape):
    """The offer that was taken; what does not belong to its kind is null."""

    guid: str
    decision_id: str
    offer_type: OfferType
    status: OfferStatus = Field(description="`applied` once the billing system has made the change.")
    coupon_id: str | None
    coupon_type: Literal["PERCENT", "AMOUNT"] | None
    coupon_amount: float | None
    coupon_duration: int | str | None
    pause_duration: int | None
    pause_interval: Literal["WEEK", "MONTH"] | None
    pause_end: Moment | None
    new_plan_id: str | None
    new_plan_price: int | None
    trial_extension_days: int | None
    redirect_url: str | None


class EffectShape(Shape):
    """A change that was asked of the billing system, and what became of it."""

    id: str
    type: str
    status: Literal["pending", "applied", "failed"]
    decision_id: str | None
    reason: str | None = Field(
        description="Why it failed: a reason of ours, or the billing system's own words, which need the scope "
        "`sessions.read_pii`."
    )
    reference: str | None = Field(description="The billing system's own id for it.")
    requested_at: Moment
    applied_at: Moment | None


class ConsideredRule(Shape):
    """A rule or an offer that was considered on the way; not what it saw of the customer."""

    at: str = Field(description="Where in the flow.")
    offer: str | None = Field(description="The offer's id, where it is about one.")
    verdict: str | None = Field(description="`yes`, `no` or `unknown`; null where there is no rule.")
    shown: bool | None = Field(description="Of an offer: whether this one was shown.")
    blockers: list[str] = Field(description="Why an offer could not be made.")


class Region(Shape):
    country: str | None = Field(description="Of the billing address, ISO 3166-1.")


class RecordShape(Shape):
    """One closed session."""

    id: str = Field(alias="_id")
    org: str
    mode: Literal["LIVE", "TEST"]
    provider: str
    blueprint_id: str = Field(description="The version of the flow that was walked.")
    flow_version: int
    segment_id: str | None
    abtest: str | None
    survey_id: str | None
    survey_choice_id: str | None
    survey_choice_value: str | None = Field(description="The reason, as the flow words it.")
    followup_question: str | None
    followup_option_id: str | None
    followup_response: str | None = Field(description="Own words need the scope `sessions.read_pii`.")
    feedback: str | None = Field(description="Needs the scope `sessions.read_pii`.")
    outcome: Outcome
    aborted: bool = Field(description="Neither canceled nor an offer taken.")
    canceled: bool = Field(description="Canceled, to be canceled by a person, or scheduled to end already.")
    save_type: SaveType | None = Field(description="Null if canceled.")
    bounced: bool = Field(description="The first screen was seen, and nothing was done.")
    used_click_to_cancel: bool
    click_to_cancel_enabled: bool
    exit_policy: str
    region: Region
    entry: Literal["link", "email", "receipt"]
    locale: str
    lang: str = Field(description="The locale, by the name that the reference has for it.")
    billing_known: bool = Field(description="False where the billing system did not answer at the start.")
    manual_reasons: list[str] = Field(
        description="Why a person has to carry the cancellation out. What a billing system says in its own words is "
        "`not_made` without the scope `sessions.read_pii`."
    )
    discount_cooldown: int | None = Field(description="Days, as the flow has it.")
    discount_cooldown_applied: bool
    pause_cooldown: int | None
    pause_cooldown_applied: bool
    customer: RecordCustomer
    steps_viewed: list[ViewedStep]
    presented_offers: list[PresentedOffer]
    accepted_offer: AcceptedOffer | None
    effects: list[EffectShape]
    rules: list[ConsideredRule]
    created_at: Moment
    closed_at: Moment
    updated_at: Moment
    erased_at: Moment | None = Field(
        default=None, description="Only where what is personal was erased, at a wish or after its time."
    )


class RecordPage(Shape):
    data: list[RecordShape]
    next_cursor: str | None = Field(
        description="The last session's `_id`, if there are more: pass it as `cursor`. Null at the end."
    )


class AggregationShape(BaseModel):
    """The rows; each has a value for every dimension, and the count."""

    model_config = ConfigDict(extra="forbid")

    data: list[dict[str, str | int | bool | None]]


class UsageRow(Shape):
    day: str = Field(description="UTC.")
    key_id: str
    endpoint: str
    requests: int
    rows: int = Field(description="How many rows were answered.")


class UsageShape(Shape):
    data: list[UsageRow]

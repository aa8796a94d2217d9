"""What a customer can ask for: the way there, what billing then calls it, and how the session ends."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.core.billing import Capability
from app.core.flow import FlowDefinition
from app.core.flow_check import parse_flow
from demo.billing.seed import LITE
from tests.support.pages import Page, Visitor
from tests.support.press import press

Move = Callable[[Visitor, Page], Awaitable[Page]]


@dataclass(frozen=True)
class Action:
    """`name` is billing's word for the change, `before` those of the changes that a customer needs to come there.

    `like` is the demo's customer whose subscription it is about. `reason` leads to the offer of it; without one it is
    no offer. With `anew` the customer comes with a link of their own for it, after the changes before.
    """

    title: str
    name: str
    outcome: str
    needs: frozenset[Capability]
    reason: str | None = None
    like: str = "cus_ben"
    button: str = "accept"
    before: tuple["Action", ...] = ()
    anew: bool = False
    timing: str = "period_end"

    async def reach(self, visitor: Visitor, page: Page) -> Page:
        """From the first screen to the one with the button that asks for it."""
        for earlier in self.before if not self.anew else ():
            page = await earlier.ask(visitor, await earlier.reach(visitor, page))
        if self.reason is not None:
            return await press(visitor, page, "continue", {"reason": self.reason})
        return await press(visitor, page, "cancel_now") if self.button == "confirm" else page

    async def ask(self, visitor: Visitor, page: Page) -> Page:
        return await press(visitor, page, self.button)

    @property
    def done(self) -> list[str]:
        """All that billing has then done, in its words."""
        return [*(earlier.name for earlier in self.before), self.name]


def _needing(*capabilities: Capability) -> frozenset[Capability]:
    return frozenset(capabilities)


CANCEL: Final = Action(
    "cancel", "cancel", "canceled", _needing(Capability.CANCEL_AT_PERIOD_END), button="confirm"
)
CANCEL_NOW: Final = Action(
    "cancel now", "cancel", "canceled", _needing(Capability.CANCEL_NOW), button="confirm", timing="now"
)
DISCOUNT: Final = Action(
    "discount", "discount", "discount_accepted", _needing(Capability.DISCOUNT), reason="price"
)
COUPON: Final = Action(
    "discount by coupon", "discount", "discount_accepted", _needing(Capability.DISCOUNT), reason="coupon"
)
PAUSE: Final = Action("pause", "pause", "pause_accepted", _needing(Capability.PAUSE), reason="unused")
YEARLY_PAUSE: Final = Action(
    "pause of a year",
    "pause",
    "pause_accepted",
    _needing(Capability.PAUSE, Capability.MOVE_RENEWAL),
    reason="unused",
    like="cus_chen",
)
PLAN_CHANGE: Final = Action(
    "plan change", "change-plan", "plan_switched", _needing(Capability.PLAN_CHANGE), reason="too-big"
)
TRIAL_EXTENSION: Final = Action(
    "trial extension",
    "extend-trial",
    "trial_extended",
    _needing(Capability.TRIAL_EXTENSION),
    reason="more-time",
    like="cus_dana",
)
UNCANCEL: Final = Action(
    "uncancel",
    "uncancel",
    "uncanceled",
    _needing(Capability.UNCANCEL, Capability.CANCEL_AT_PERIOD_END),
    button="uncancel",
    before=(CANCEL,),
)
RESUME: Final = Action(
    "resume",
    "resume",
    "resumed",
    _needing(Capability.RESUME, Capability.PAUSE),
    button="resume",
    before=(PAUSE,),
    anew=True,
)
ACTIONS: Final = (
    CANCEL,
    CANCEL_NOW,
    DISCOUNT,
    COUPON,
    PAUSE,
    YEARLY_PAUSE,
    PLAN_CHANGE,
    TRIAL_EXTENSION,
    UNCANCEL,
    RESUME,
)


def is_possible(action: Action, provider: str, able: Collection[Capability]) -> bool:
    """Whether the provider can do it; with `direct` there are no coupons to name."""
    return action.needs <= set(able) and (action is not COUPON or provider != "direct")


def flow_of(
    id_of: Callable[[str], str], provider: str, able: Collection[Capability], timing: str
) -> FlowDefinition:
    """A flow with each offer that this provider can carry out."""
    made = {"percent": 50, "duration": "repeating", "months": 3}
    offers: dict[Action, Mapping[str, Any]] = {
        DISCOUNT: {"kind": "discount", "id": "half-price", **made},
        COUPON: {"kind": "discount", "id": "a-coupon", "coupon_id": id_of("coupon_five_dollars")},
        PAUSE: {"kind": "pause", "id": "take-a-break", "unit": "month", "max": 3},
        PLAN_CHANGE: {"kind": "plan_change", "id": "smaller", "plans": [_lite(id_of, provider)]},
        TRIAL_EXTENSION: {"kind": "trial_extension", "id": "two-weeks", "days": 14},
    }
    reasons = [
        {"id": action.reason, "label": f"A reason for a {action.title}", "offers": [offer]}
        for action, offer in offers.items()
        if is_possible(action, provider, able)
    ]
    other = {"id": "other", "label": "Something else"}
    return parse_flow(
        {
            "version": 1,
            "name": "An offer for each reason",
            "steps": [
                {"kind": "survey", "id": "why", "reasons": [*reasons, other]},
                {"kind": "confirm", "id": "confirm", "timing": timing},
            ],
        }
    )


def _lite(id_of: Callable[[str], str], provider: str) -> dict[str, Any]:
    """The small plan; `direct` has no price list that it could be looked up in."""
    plan: dict[str, Any] = {"price_id": id_of(LITE["id"])}
    return {**plan, "price": LITE} if provider == "direct" else plan

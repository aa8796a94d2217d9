"""What a receipt says of each way a walk can end, and of a change that is still to be made."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core import receipt
from app.core.billing import Capability, Discount, Preview, preview_key
from app.core.commands import ConfirmCancel, Keep, ResumeNow, UndoCancel
from app.core.money import Money
from app.core.receipt import Frame, Merchant, ReceiptStatus
from app.core.state import Pending
from app.core.summary import Summary
from tests.core.test_session_moves import at_confirm, canceled, ending_soon, paused
from tests.core.walks import BREAK, CONFIRM, HALF, LITE, MORE_TIME, TALK, Journey, flow, offer, world
from tests.support.subscriptions import NOW, active, day, in_state, on_trial

YEARLY_BREAK = {**BREAK, "id": "yearly-break"}
FRAME = Frame(
    receipt_id="rcp_1",
    merchant=Merchant("Northwind Notes", "app_test_1", "test", "help@northwind.example"),
    customer_id="cus_1",
    locale="de-AT",
    time_zone="Europe/Vienna",
    flow_version="fv_1",
)


def ended(journey: Journey, asked: Pending | None = None) -> dict[str, Any]:
    content = receipt.of_outcome(FRAME, journey.walk, journey.state, asked=asked, reference="ref_9")
    assert content is not None
    return content


def taken(made: dict[str, Any], option: str | None) -> tuple[Journey, Pending]:
    """An offer accepted, and in hand."""
    subscription = on_trial(started="2026-11-01") if made is MORE_TIME else active()
    if made is YEARLY_BREAK:
        subscription = active(every="year", renews="2027-07-01")
    journey = Journey(flow(offer(made), CONFIRM), world(subscription))
    journey.accept(option)
    assert journey.state.pending is not None
    return journey, journey.state.pending


def test_a_cancellation_says_when_it_ends_and_until_when_it_can_be_undone() -> None:
    journey = canceled()
    content = ended(journey)
    end = journey.walk.world.subscriptions[0].end
    assert end is not None
    assert (content["type"], content["status"], content["plan"]) == ("cancellation", "confirmed", "Pro")
    assert content["facts"]["endsAt"] == content["undoUntil"] == receipt.iso(end)
    assert content["facts"]["endsNow"] is False
    assert content["providerReference"] == "ref_9"
    assert (content["customerId"], content["subscriptionId"]) == ("cus_1", "sub_1")
    assert content["merchant"]["email"] == "help@northwind.example"


def test_a_cancellation_that_the_provider_cannot_take_back_promises_no_undo() -> None:
    journey = canceled()
    cannot = frozenset(Capability) - {Capability.UNCANCEL}
    journey.walk = type(journey.walk)(
        "cs_1",
        journey.walk.flow,
        journey.walk.world.model_copy(update={"capabilities": cannot}),
        journey.walk.now,
    )
    assert ended(journey)["undoUntil"] is None


def test_a_cancellation_that_ended_at_once_says_so() -> None:
    journey = Journey(flow({**CONFIRM, "timing": "now"}))
    journey.do(ConfirmCancel())
    journey.settle(becomes=in_state({"name": "canceled", "canceledAt": "2026-11-21T09:00:00Z"}))
    content = ended(journey)
    assert content["facts"]["endsNow"] is True
    assert (content["facts"]["endsAt"], content["undoUntil"]) == (None, None)


@pytest.mark.parametrize(
    ("made", "option", "kind", "facts"),
    [
        (HALF, None, "discount", {"priceBefore", "price", "nextCharge", "backTo"}),
        (BREAK, "2-months", "pause", {"resumesAt", "nextCharge"}),
        (YEARLY_BREAK, "2-months", "pause", {"resumesAt", "nextCharge", "renewsBefore", "renewsAt"}),
        (LITE, "price_lite", "plan_change", {"newPlan", "priceBefore", "price", "nextCharge"}),
        (MORE_TIME, None, "trial_extension", {"trialEndsAt", "nextCharge"}),
    ],
)
def test_an_offer_is_written_down_as_it_was_shown(
    made: dict[str, Any], option: str | None, kind: str, facts: set[str]
) -> None:
    journey, asked = taken(made, option)
    promised = receipt.of_change(FRAME, journey.walk, journey.state, asked, ReceiptStatus.REQUESTED)
    journey.settle()
    content = ended(journey, asked)
    assert (content["type"], content["status"]) == (kind, "confirmed")
    assert facts <= {name for name, value in content["facts"].items() if value}
    assert content["facts"] == promised["facts"], "what is confirmed is what was promised"
    assert content["offer"]["id"] == made["id"]
    assert (content["requestedAt"], content["confirmedAt"]) == (
        receipt.iso(asked.requested_at),
        receipt.iso(journey.walk.now),
    )
    assert promised["status"] == "requested"
    assert promised["confirmedAt"] is None


def test_a_cancellation_in_hand_says_when_it_will_end() -> None:
    journey = at_confirm()
    journey.confirm()
    asked = journey.state.pending
    assert asked is not None
    content = receipt.of_change(FRAME, journey.walk, journey.state, asked, ReceiptStatus.REQUESTED)
    period_end = journey.walk.world.subscriptions[0].period_end
    assert period_end is not None
    assert content["type"] == "cancellation"
    assert content["facts"]["endsAt"] == receipt.iso(period_end)
    assert content["undoUntil"] is None
    assert content["requestedAt"] == receipt.iso(asked.requested_at)


def test_what_was_not_made_says_why() -> None:
    journey, asked = taken(HALF, None)
    content = receipt.of_change(
        FRAME, journey.walk, journey.state, asked, ReceiptStatus.FAILED, reasons=("withdrawn",)
    )
    assert (content["status"], content["reasons"], content["confirmedAt"]) == ("failed", ["withdrawn"], None)


def test_a_request_that_a_person_carries_out_is_never_called_done() -> None:
    journey = Journey(seen=world(in_state({"name": "unpaid"})))
    journey.exit()
    journey.confirm()
    content = ended(journey)
    assert (content["type"], content["status"]) == ("cancellation_request", "requested")
    assert content["reasons"]
    assert (content["confirmedAt"], content["facts"]["endsAt"], content["undoUntil"]) == (None, None, None)


def test_taking_back_and_resuming_say_what_is_charged_next() -> None:
    undone, resumed = ending_soon(), paused()
    undone.do(UndoCancel())
    undone.settle(becomes=active())
    resumed.do(ResumeNow())
    resumed.settle(becomes=active())
    assert ended(undone)["type"] == "uncancel"
    assert ended(resumed)["type"] == "resume"
    for journey in (undone, resumed):
        assert ended(journey)["facts"]["nextCharge"]


def test_nothing_is_written_where_nothing_was_changed_or_asked_for() -> None:
    kept, helped = at_confirm(), Journey(flow(offer(TALK), CONFIRM))
    kept.do(Keep())
    helped.accept()
    open_still = at_confirm()
    for journey in (kept, helped, open_still):
        assert receipt.of_outcome(FRAME, journey.walk, journey.state, asked=None) is None


def test_the_figures_read_back_as_they_were() -> None:
    journey, asked = taken(LITE, "price_lite")
    journey.settle()
    content = json.loads(json.dumps(ended(journey, asked)))
    summary = receipt.summary_in(content)
    shown = journey.state.offers[0].shown
    assert summary.new_plan
    assert summary.price is not None
    assert summary.price.money == shown.terms.options[0].price
    assert summary.reference == content["reference"] == "LW-1-"
    assert receipt.summary_in(ended(canceled())).undo_until is not None


def test_a_break_of_paid_time_reads_back_with_both_renewals() -> None:
    journey, asked = taken(YEARLY_BREAK, "2-months")
    journey.settle()
    summary = receipt.summary_in(json.loads(json.dumps(ended(journey, asked))))
    assert (summary.renews_before, summary.renews_at) == (day("2027-07-01"), day("2027-08-31"))
    assert summary.next_charge is not None
    assert summary.next_charge.at == summary.renews_at
    assert summary.resumes_at is not None
    assert summary.resumes_at < summary.renews_at


def test_how_prices_stand_to_tax_is_kept() -> None:
    change = Discount(percent_off=Decimal(50), duration="repeating", months=3)
    said = Preview(price_after=Money(1450, "EUR"), next_charge=Money(1740, "EUR"), tax="added")
    seen = world(active(), previews={preview_key("sub_1", change): said})
    journey = Journey(flow(offer(HALF), CONFIRM), seen)
    journey.accept()
    asked = journey.state.pending
    journey.settle()
    content = ended(journey, asked)
    assert content["facts"]["tax"] == "added"
    assert receipt.summary_in(content).tax == "added"


def test_a_receipt_of_before_reads_without_what_came_later() -> None:
    journey, asked = taken(BREAK, "2-months")
    journey.settle()
    content = ended(journey, asked)
    later = ("renewsBefore", "renewsAt", "tax")
    old = {**content, "facts": {k: v for k, v in content["facts"].items() if k not in later}}
    assert receipt.summary_in(old) == receipt.summary_in(content)


def test_every_receipt_is_plain_json_with_the_same_names() -> None:
    journey, asked = taken(HALF, None)
    journey.settle()
    left = receipt.of_unverified_request(
        replace(FRAME, email="ada@example.com"),
        request_id="req_1",
        requested_at=NOW,
        issued_at=NOW + timedelta(seconds=1),
    )
    contents = [ended(journey, asked), ended(canceled()), left]
    for content in contents:
        assert json.loads(json.dumps(content)) == content
        assert content.keys() == contents[0].keys()
        assert content["facts"].keys() == contents[0]["facts"].keys()
    assert [each["email"] for each in contents] == [None, None, "ada@example.com"]
    assert left["sessionId"] is left["subscriptionId"] is left["plan"] is None
    assert receipt.summary_in(left) == Summary(reference=left["reference"])

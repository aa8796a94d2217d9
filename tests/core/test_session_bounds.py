"""A session that is walked for ever stays small."""

import json
from itertools import cycle, islice

from app.core.commands import AnswerStep, CancelNow, DeclineOffer
from app.core.flow_check import offers_of
from app.core.session import MAX_VIEWS
from tests.core.walks import BREAK, CONFIRM, ENDS, HALF, TEXT, Journey, flow

REASONS = [
    {"id": "price", "label": "Price", "offers": [HALF], "follow_up": {"kind": "text", "question": "?"}},
    {"id": "unused", "label": "Unused", "offers": [BREAK]},
]
WHY = {"kind": "survey", "id": "why", "reasons": REASONS}


def test_views_and_offers_are_bounded_however_long_one_wanders() -> None:
    away = {**ENDS, "when": {"attribute": "session.reason", "op": "eq", "value": "price"}}
    journey = Journey(flow(WHY, away, TEXT, CONFIRM))
    for reason in islice(cycle(["price", "unused"]), 300):
        journey.do(AnswerStep("why", reason=reason, follow_up="x" * 2_000))
        if journey.path.current.record is not None:
            journey.decline()
    assert len(journey.state.views) == MAX_VIEWS
    assert journey.state.views[-1].step == journey.at
    assert len(journey.state.offers) == len(list(offers_of(journey.walk.flow)))
    assert len(json.dumps(journey.state.to_json())) < 64_000


def test_pressing_the_exit_for_ever_adds_nothing() -> None:
    journey = Journey()
    journey.exit()
    before = journey.state
    for _ in range(50):
        journey.do(CancelNow(AnswerStep("why", reason="x" * 10_000)), DeclineOffer("🙂" * 10_000))
    assert journey.state == before

"""A flow definition says where each of its mistakes is, and cannot be published without a way out."""

from typing import Any

import pytest

from app.core.billing import Capability, Catalog
from app.core.direct import DirectCoupon
from app.core.flow import FlowDefinition, OfferKind, dump_flow
from app.core.flow_check import (
    RESERVED_STEP_IDS,
    InvalidFlow,
    named_ids,
    parse_flow,
    remarks,
    unknown_ids,
    validate_flow,
)
from tests.support.subscriptions import price

EVERYTHING = frozenset(Capability)
CONFIRM = {"kind": "confirm", "id": "confirm"}
SURVEY = {"kind": "survey", "id": "why", "reasons": [{"id": "price", "label": "It costs too much"}]}
HALF = {"kind": "discount", "id": "half", "percent": 50, "duration": "repeating", "months": 3}
PAUSE = {"kind": "pause", "id": "break"}


def flow(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "Test", "steps": [*steps, CONFIRM], **more}


def offering(*offers: dict[str, Any]) -> dict[str, Any]:
    return flow({"kind": "offer", "id": "stay", "offers": list(offers)})


def with_reason(**more: Any) -> dict[str, Any]:
    return flow({**SURVEY, "reasons": [{"id": "price", "label": "It costs too much", **more}]})


def shape_problems(data: object) -> dict[str, str]:
    with pytest.raises(InvalidFlow) as caught:
        parse_flow(data)
    return {problem.path: problem.message for problem in caught.value.problems}


def problems(data: dict[str, Any], capabilities: frozenset[Capability] = EVERYTHING) -> dict[str, str]:
    return {problem.path: problem.message for problem in validate_flow(parse_flow(data), capabilities)}


def rule(attribute: str, op: str = "eq", value: object = "price") -> dict[str, Any]:
    return {"attribute": attribute, "op": op, "value": value}


# --- Shape ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "path", "says"),
    [
        (None, "", "object"),
        ([], "", "object"),
        ({"name": "x"}, "steps", "required"),
        ({"name": "x", "steps": []}, "steps", "empty"),
        (flow(version=2), "version", "1"),
        (flow(version="1"), "version", "1"),
        (flow(nmae="x"), "nmae", "did you mean name?"),
        (flow(name="x" * 201), "name", "200"),
        (flow(name="two\nlines"), "name", "single line"),
        (flow({"kind": "sruvey", "id": "a"}), "steps[0].kind", "survey"),
        (flow({"id": "a"}), "steps[0].kind", "required"),
        (flow({**SURVEY, "id": "Why me"}), "steps[0].id", "too-expensive"),
        (flow({**SURVEY, "id": "a.offer"}), "steps[0].id", "hyphens"),
        (flow({**SURVEY, "title": "x" * 201}), "steps[0].title", "200"),
        (flow({**SURVEY, "title": "a\x07b"}), "steps[0].title", "control"),
        (flow({**SURVEY, "body": "x" * 5001}), "steps[0].body", "5000"),
        (flow({**SURVEY, "required": "yes"}), "steps[0].required", "true or false"),
        (flow({**SURVEY, "reasons": []}), "steps[0].reasons", "empty"),
        (flow({**SURVEY, "reasons": SURVEY["reasons"] * 21}), "steps[0].reasons", "20"),
        (with_reason(lable="x"), "steps[0].reasons[0].lable", "did you mean label?"),
        (with_reason(label=5), "steps[0].reasons[0].label", "string"),
        (with_reason(follow_up={"kind": "text"}), "steps[0].reasons[0].follow_up.question", "required"),
        (with_reason(follow_up={"kind": "txt"}), "steps[0].reasons[0].follow_up.kind", "text"),
        (
            with_reason(offers=[{**HALF, "percnt": 1}]),
            "steps[0].reasons[0].offers[0].percnt",
            "mean percent?",
        ),
        (offering({**HALF, "percent": 0}), "steps[0].offers[0].percent", "more than 0"),
        (offering({**HALF, "percent": 100.5}), "steps[0].offers[0].percent", "at most 100"),
        (offering({**HALF, "percent": "50"}), "steps[0].offers[0].percent", "number"),
        (offering({**HALF, "percent": True}), "steps[0].offers[0].percent", "number"),
        (offering({**HALF, "months": 0}), "steps[0].offers[0].months", "at least 1"),
        (offering({**HALF, "months": None}), "steps[0].offers[0].months", "required"),
        (offering({**HALF, "duration": "once"}), "steps[0].offers[0].months", "repeating"),
        (offering({"kind": "discount", "id": "d"}), "steps[0].offers[0].duration", "required"),
        (offering({"kind": "discount", "id": "d", "duration": "once"}), "steps[0].offers[0]", "percent"),
        (offering({**HALF, "coupon_id": "c"}), "steps[0].offers[0].percent", "only one"),
        (
            offering({"kind": "discount", "id": "d", "coupon_id": "c", "duration": "once"}),
            "steps[0].offers[0].duration",
            "own duration",
        ),
        (
            offering({"kind": "discount", "id": "d", "amount": {"minor": 5.5, "currency": "EUR"}}),
            "steps[0].offers[0].amount.minor",
            "whole",
        ),
        (
            offering({"kind": "discount", "id": "d", "amount": {"minor": 5, "currency": "euro"}}),
            "steps[0].offers[0].amount.currency",
            "ISO 4217",
        ),
        (offering({**PAUSE, "max": 13}), "steps[0].offers[0].max", "12"),
        (offering({**PAUSE, "unit": "week", "max": 27}), "steps[0].offers[0].max", "26"),
        (offering({**PAUSE, "max": 0}), "steps[0].offers[0].max", "1"),
        (offering({"kind": "plan_change", "id": "p", "plans": []}), "steps[0].offers[0].plans", "empty"),
        (
            offering({"kind": "plan_change", "id": "p", "plans": [{"price_id": str(n)} for n in range(4)]}),
            "steps[0].offers[0].plans",
            "3",
        ),
        (offering({"kind": "trial_extension", "id": "t", "days": 31}), "steps[0].offers[0].days", "30"),
        (
            offering({"kind": "redirect", "id": "r", "url": "http://a.example"}),
            "steps[0].offers[0].url",
            "https",
        ),
        (
            offering({"kind": "redirect", "id": "r", "url": "javascript:alert(1)"}),
            "steps[0].offers[0].url",
            "https",
        ),
        (
            offering({"kind": "redirect", "id": "r", "url": "https://a@b.example"}),
            "steps[0].offers[0].url",
            "https",
        ),
        *(
            (offering({"kind": "redirect", "id": "r", "url": url}), "steps[0].offers[0].url", said)
            for url, said in (
                ("https://a.example\\@b.example/", "backslashes"),
                ("https://a.example/\u0085", "ASCII"),
                ("https://a.example/\x7f", "control characters"),
                ("https://a.example/\t", "control characters"),
                ("https://bücher.example/", "xn--"),
                ("https://a.example/bücher", "percent-encode"),
                ("https://a.example:port/", "https"),
            )
        ),
        (
            offering({"kind": "contact", "id": "c", "url": "https://a.example", "email": "a@b.example"}),
            "steps[0].offers[0].email",
            "not both",
        ),
        (
            offering({**HALF, "when": {"attribute": "plan", "op": "=="}}),
            "steps[0].offers[0].when.op",
            "did you mean `eq`?",
        ),
        (
            offering({**HALF, "when": {"all": [rule("subscription.pice")]}}),
            "steps[0].offers[0].when.all[0].attribute",
            "subscription.price",
        ),
        (offering({**HALF, "copy": {"headlin": "x"}}), "steps[0].offers[0].copy.headlin", "mean headline?"),
        (flow(cooldowns={"pauze": 3}), "cooldowns.pauze", "did you mean pause?"),
        (flow(cooldowns={"pause": -1}), "cooldowns.pause", "0"),
    ],
)
def test_every_mistake_of_shape_names_its_path(data: object, path: str, says: str) -> None:
    found = shape_problems(data)
    assert path in found
    assert says in found[path]


def test_all_mistakes_are_told_at_once() -> None:
    found = shape_problems({"nam": "x", "steps": [{"kind": "survey", "id": "!", "reasons": [{}]}]})
    assert {
        "nam",
        "name",
        "steps[0].id",
        "steps[0].reasons[0].id",
        "steps[0].reasons[0].label",
    } <= found.keys()


def test_what_was_written_is_never_repeated_in_an_error() -> None:
    assert not any("hunter2" in message for message in shape_problems(flow(name=["hunter2"])).values())


def test_a_definition_survives_being_stored() -> None:
    definition = parse_flow(
        flow(
            {**SURVEY, "branches": [{"when": rule("session.reason"), "goto": "stay"}]},
            {
                "kind": "offer",
                "id": "stay",
                "offers": [{**HALF, "percent": 12.5, "copy": {"cta": "Take it"}}, PAUSE],
            },
            cooldowns={"discount": 90},
        )
    )
    assert parse_flow(dump_flow(definition)) == definition
    assert definition.cooldowns == {OfferKind.DISCOUNT: 90}


def test_a_stored_definition_leaves_out_what_is_at_its_default() -> None:
    stored = dump_flow(parse_flow(flow()))
    assert stored == {"version": 1, "name": "Test", "steps": [{"id": "confirm", "kind": "confirm"}]}


# --- What keeps it from being published -----------------------------------------------------------


def test_a_good_flow_has_no_problems() -> None:
    assert problems(flow(SURVEY, {"kind": "offer", "id": "stay", "offers": [HALF, PAUSE]})) == {}


def test_the_last_step_is_the_only_confirm_step() -> None:
    assert "last step" in problems({"name": "x", "steps": [SURVEY]})["steps[0]"]
    assert (
        "one confirm" in problems({"name": "x", "steps": [CONFIRM, {**CONFIRM, "id": "again"}]})["steps[0]"]
    )


def test_nothing_can_hide_the_way_out() -> None:
    hidden = {**CONFIRM, "when": rule("plan"), "branches": [{"goto": "confirm"}]}
    found = problems({"name": "x", "steps": [hidden]})
    assert {"steps[0].when", "steps[0].branches"} <= found.keys()


@pytest.mark.parametrize(
    ("timing", "lacking"), [("now", Capability.CANCEL_NOW), ("period_end", Capability.CANCEL_AT_PERIOD_END)]
)
def test_a_provider_that_cannot_cancel_that_way_is_no_way_out(timing: str, lacking: Capability) -> None:
    data = {"name": "x", "steps": [{**CONFIRM, "timing": timing}]}
    assert lacking in problems(data, EVERYTHING - {lacking})["steps[0].timing"]


@pytest.mark.parametrize(
    ("offer", "needed"),
    [
        (HALF, Capability.DISCOUNT),
        (PAUSE, Capability.PAUSE),
        ({"kind": "plan_change", "id": "p", "plans": [{"price_id": "x"}]}, Capability.PLAN_CHANGE),
        ({"kind": "trial_extension", "id": "t", "days": 7}, Capability.TRIAL_EXTENSION),
    ],
)
def test_an_offer_that_the_provider_cannot_make_is_named(offer: dict[str, Any], needed: Capability) -> None:
    assert (
        needed
        in problems(with_reason(offers=[offer]), EVERYTHING - {needed})["steps[0].reasons[0].offers[0].kind"]
    )
    assert problems(with_reason(offers=[offer])) == {}


def test_contact_and_redirect_ask_nothing_of_the_provider() -> None:
    offers = [{"kind": "contact", "id": "c"}, {"kind": "redirect", "id": "r", "url": "https://a.example"}]
    assert problems(offering(*offers), frozenset({Capability.CANCEL_AT_PERIOD_END})) == {}


def test_ids_are_unique_among_their_kind() -> None:
    options = {
        "kind": "options",
        "question": "?",
        "options": [{"id": "a", "label": "A"}, {"id": "a", "label": "B"}],
    }
    twice = {"id": "price", "label": "x", "offers": [HALF], "follow_up": options}
    found = problems(
        flow(
            {**SURVEY, "reasons": [twice, {"id": "price", "label": "y"}]},
            {**SURVEY},
            offering(HALF)["steps"][0],
        )
    )
    assert found.keys() == {
        "steps[0].reasons[0].follow_up.options[1].id",
        "steps[0].reasons[1].id",
        "steps[1].id",
        "steps[2].offers[0].id",
    }


@pytest.mark.parametrize("name", sorted(RESERVED_STEP_IDS))
def test_the_names_of_other_pages_are_no_step_ids(name: str) -> None:
    assert "another page" in problems(flow({**SURVEY, "id": name}))["steps[0].id"]


def test_a_branch_leads_to_a_later_step() -> None:
    jumps = [{"goto": goto} for goto in ("confirm", "why", "comfirm")]
    found = problems(flow({**SURVEY, "branches": jumps}))
    assert found.keys() == {"steps[0].branches[1].goto", "steps[0].branches[2].goto"}
    assert "did you mean confirm?" in found["steps[0].branches[2].goto"]


def test_a_rule_on_the_reason_comes_after_the_survey() -> None:
    early = {"kind": "message", "id": "hello", "title": "Hello", "when": {"not": rule("session.reason")}}
    assert "no survey" in problems(flow(early, SURVEY))["steps[0].when.not.attribute"]
    assert problems(flow(SURVEY, early)) == {}


def test_a_survey_does_not_know_its_own_answer_before_it_is_given() -> None:
    own = {**SURVEY, "when": rule("session.reason")}
    assert "steps[0].when.attribute" in problems(flow(own))
    assert "steps[0].reasons[0].when.attribute" in problems(with_reason(when=rule("session.reason")))
    assert problems(with_reason(offers=[{**HALF, "when": rule("session.reason")}])) == {}
    assert problems(flow({**SURVEY, "branches": [{"when": rule("session.reason"), "goto": "confirm"}]})) == {}


def test_a_rule_on_a_reason_that_nobody_can_give_is_named() -> None:
    typo = {"any": [rule("plan"), rule("session.reason", "in", ["price", "prise"])]}
    found = problems(flow({**SURVEY, "branches": [{"when": typo, "goto": "confirm"}]}))
    assert "did you mean price?" in found["steps[0].branches[0].when.any[1].value"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Hello {{name}}", "fallback"),
        ("Hello {{name|there}", "merge field"),
        ("Hello }}", "merge field"),
        ("Since {{subscription.tenure_month|a while}}", "did you mean subscription.tenure_months?"),
    ],
)
def test_a_broken_merge_field_is_found_wherever_it_stands(text: str, says: str) -> None:
    assert says in problems(flow({**SURVEY, "title": text}))["steps[0].title"]
    assert says in problems(offering({**HALF, "copy": {"body": text}}))["steps[0].offers[0].copy.body"]


def test_good_merge_fields_pass() -> None:
    text = "{{CUSTOMER_NAME.FIRST|Hello}}, your {{notesCount|}} notes on {{subscription.plan_name|your plan}}"
    assert problems(flow({**SURVEY, "title": text})) == {}


def test_problems_come_in_the_order_of_the_flow() -> None:
    steps = [{"kind": "message", "id": f"m{n}", "title": "{{x}}"} for n in range(12)]
    found = validate_flow(parse_flow(flow(*steps)), EVERYTHING)
    assert [problem.path for problem in found] == [f"steps[{n}].title" for n in range(12)]


# --- The provider ---------------------------------------------------------------------------------

EVERY_OFFER = offering(
    HALF,
    PAUSE,
    {"kind": "plan_change", "id": "lite", "plans": [{"price_id": "price_lite"}]},
    {"kind": "trial_extension", "id": "longer", "days": 14},
    {"kind": "contact", "id": "talk"},
)


@pytest.mark.parametrize(
    ("lacking", "path", "words"),
    [
        (Capability.DISCOUNT, "steps[0].offers[0].kind", "lower the price of a subscription"),
        (Capability.PAUSE, "steps[0].offers[1].kind", "pause a subscription until a date"),
        (Capability.PLAN_CHANGE, "steps[0].offers[2].kind", "move a subscription to another price"),
        (Capability.TRIAL_EXTENSION, "steps[0].offers[3].kind", "make a trial longer"),
        (
            Capability.CANCEL_AT_PERIOD_END,
            "steps[1].timing",
            "end a subscription when what is paid for runs out",
        ),
    ],
)
def test_what_the_provider_cannot_do_is_said_in_words_with_its_name(
    lacking: Capability, path: str, words: str
) -> None:
    [problem] = validate_flow(parse_flow(EVERY_OFFER), EVERYTHING - {lacking}, provider="Braintree")
    assert problem.path == path
    assert problem.message == f"Braintree cannot {words}: it lacks the capability {lacking}."


def test_ending_at_once_is_something_to_be_able_to_do() -> None:
    at_once = {"name": "Test", "steps": [{**CONFIRM, "timing": "now"}]}
    [problem] = validate_flow(parse_flow(at_once), EVERYTHING - {Capability.CANCEL_NOW})
    assert problem.message.startswith("The connected billing provider cannot end a subscription at once")


def test_who_will_not_see_a_pause_is_remarked_and_forbids_nothing() -> None:
    definition, able = parse_flow(EVERY_OFFER), EVERYTHING - {Capability.MOVE_RENEWAL}
    assert validate_flow(definition, able) == []
    [remark] = remarks(definition, able, provider="Braintree")
    assert remark.path == "steps[0].offers[1].kind"
    assert remark.message.startswith(
        "Braintree cannot move a renewal: only subscriptions that are billed every"
    )
    assert remarks(definition, EVERYTHING) == []
    assert remarks(definition, able - {Capability.PAUSE}) == [], "then it is a problem"


@pytest.mark.parametrize(
    ("lacking", "who"),
    [
        ({Capability.PAUSE_TO_ANY_DAY}, "subscriptions that are billed every month do not see"),
        ({Capability.PAUSE_TO_ANY_DAY, Capability.MOVE_RENEWAL}, "nobody sees"),
    ],
)
def test_who_will_not_see_a_pause_of_weeks_is_remarked(lacking: set[Capability], who: str) -> None:
    weeks = parse_flow(offering({"kind": "pause", "id": "weeks", "unit": "week", "max": 3}))
    [remark] = remarks(weeks, EVERYTHING - lacking, provider="Paddle")
    assert remark.message == f"Paddle ends a pause only on a day of renewal: {who} this one. Offer months."
    assert remarks(weeks, EVERYTHING) == []


def test_what_the_provider_has_to_know_is_found_and_missed() -> None:
    own_price = {"price_id": "mine", "price": {"id": "mine", "amount": {"value": 600}}}
    definition = parse_flow(
        offering(
            HALF,
            {"kind": "discount", "id": "thanks", "coupon_id": "THANKS"},
            {"kind": "discount", "id": "again", "coupon_id": "AGAIN"},
            {"kind": "plan_change", "id": "lite", "plans": [own_price, {"price_id": "b"}, {"price_id": "a"}]},
        )
    )
    assert named_ids(definition) == (["a", "b"], ["AGAIN", "THANKS"])
    known = Catalog({"a": price(price_id="a")}, {"THANKS": DirectCoupon(id="THANKS", percent_off=10)})
    missed = {problem.path: problem.message for problem in unknown_ids(definition, known, provider="Stripe")}
    assert set(missed) == {"steps[0].offers[2].coupon_id", "steps[0].offers[3].plans[1].price_id"}
    assert missed["steps[0].offers[2].coupon_id"].startswith(
        "Stripe has no coupon AGAIN, or it cannot be used"
    )
    assert missed["steps[0].offers[3].plans[1].price_id"].startswith("Stripe has no price b")


def test_a_message_says_something() -> None:
    assert "steps[0]" in problems(flow({"kind": "message", "id": "m"}))


def test_a_definition_cannot_be_changed() -> None:
    definition: FlowDefinition = parse_flow(flow())
    with pytest.raises(ValueError, match="frozen"):
        definition.name = "other"

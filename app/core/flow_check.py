"""Reads a flow definition from plain data and says, path by path, what keeps it from being published.

Pure. Problems are values, all of them at once; nothing here is about YAML, storage or a customer.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.core import merge
from app.core.billing import Capability, Catalog
from app.core.eligibility import NEEDED, needs_any_day
from app.core.errors import FieldError, InvalidInput
from app.core.facts import BUILT_INS
from app.core.fields import field_errors
from app.core.flow import (
    ConfirmStep,
    DiscountOffer,
    FlowDefinition,
    MessageStep,
    Offer,
    OfferKind,
    OfferStep,
    OptionsFollowUp,
    PauseOffer,
    PlanChangeOffer,
    SurveyStep,
    dump_flow,
)
from app.core.rules import All, AnyOf, Leaf, Not, Op, Rule

MERGE_NAMES = (*BUILT_INS, "CUSTOMER_NAME", "CUSTOMER_NAME.FIRST", "CUSTOMER_NAME.LAST", "CUSTOMER_EMAIL")
"""The built-in merge fields; a bare name is an attribute of the merchant's."""

RESERVED_STEP_IDS = frozenset({"choose", "done", "working", "scheduled", "paused", "resume-session"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, and where: `steps[2].offers[0].percent`."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidFlow(InvalidInput):
    code = "invalid_flow"
    user_message = "The flow has problems."

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(fields=[FieldError(problem.path, problem.message) for problem in problems])
        self.problems = tuple(problems)


# --- Reading --------------------------------------------------------------------------------------


def parse_flow(data: object) -> FlowDefinition:
    """Read a definition from parsed JSON or YAML. Raises InvalidFlow with every problem of shape."""
    try:
        return FlowDefinition.model_validate(data)
    except ValidationError as error:
        raise InvalidFlow(_shape_problems(error, data)) from None


def _shape_problems(error: ValidationError, data: object) -> list[Problem]:
    found = zip(error.errors(include_url=False, include_input=False), field_errors(error, data), strict=True)
    return [Problem(field.field, _unknown_name(detail) or field.message) for detail, field in found]


def _unknown_name(detail: ErrorDetails) -> str | None:
    """Of a name that there is not, the one probably meant, or all there are. None for other mistakes."""
    *way, name = detail["loc"] or ("",)
    if name == "[key]":
        return f"There is no such kind of offer{_or_near(str(way[-1]), list(OfferKind))}"
    if detail["type"] != "extra_forbidden":
        return None
    known = [field.alias or given for shape in _shapes_at(way) for given, field in shape.model_fields.items()]
    return f"There is no such field{_or_near(str(name), known)}"


def _shapes_at(way: Sequence[str | int]) -> list[type[BaseModel]]:
    """The shapes at a location of pydantic's, in which a union's member is named by its kind."""
    shapes: list[type[BaseModel]] = [FlowDefinition]
    for part in way:
        if isinstance(part, int):
            continue
        if len(shapes) > 1:
            shapes = [shape for shape in shapes if _kind_of(shape) == part]
        else:
            shapes = [found for shape in shapes for found in _shapes_in(_annotation(shape, part))]
    return shapes


def _kind_of(shape: type[BaseModel]) -> str | None:
    field = shape.model_fields.get("kind")
    return str(get_args(field.annotation)[0]) if field else None


def _annotation(shape: type[BaseModel], name: str) -> object:
    return next(
        (field.annotation for given, field in shape.model_fields.items() if name in (given, field.alias)),
        None,
    )


def _shapes_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _shapes_in(inner)


# --- Checking -------------------------------------------------------------------------------------


SOME_PROVIDER: Final = "The connected billing provider"
_WORDS: Final = {
    Capability.CANCEL_AT_PERIOD_END: "end a subscription when what is paid for runs out",
    Capability.CANCEL_NOW: "end a subscription at once",
    Capability.DISCOUNT: "lower the price of a subscription",
    Capability.PAUSE: "pause a subscription until a date",
    Capability.PLAN_CHANGE: "move a subscription to another price",
    Capability.TRIAL_EXTENSION: "make a trial longer",
}
"""What a flow can ask for, to stand behind "cannot"."""


def validate_flow(
    definition: FlowDefinition, capabilities: Collection[Capability], *, provider: str = SOME_PROVIDER
) -> list[Problem]:
    """What keeps a well-formed flow from being published with such a provider; [] if nothing does.

    `provider` is what it is called; problems with it begin so.
    """
    problems = [
        *_check_end(definition),
        *_check_ids(definition),
        *_check_branches(definition),
        *_check_provider(definition, capabilities, provider),
        *_check_rules(definition),
        *_check_texts(definition),
    ]
    return sorted(problems, key=lambda problem: _natural(problem.path))


def _check_end(definition: FlowDefinition) -> Iterator[Problem]:
    """There is always a way out: one confirm step, the last, that nothing can hide."""
    last = len(definition.steps) - 1
    for number, step in enumerate(definition.steps):
        path = f"steps[{number}]"
        if number == last and not isinstance(step, ConfirmStep):
            yield Problem(path, "The last step must be a confirm step, so that one can always leave.")
        if number != last and isinstance(step, ConfirmStep):
            yield Problem(path, "There is one confirm step, and it is the last.")
        if isinstance(step, ConfirmStep) and step.when is not None:
            yield Problem(f"{path}.when", "A confirm step cannot be hidden: one can always leave.")
        if isinstance(step, ConfirmStep) and step.branches:
            yield Problem(f"{path}.branches", "Nothing comes after a confirm step.")
        if isinstance(step, MessageStep) and not (step.title or step.body or step.points):
            yield Problem(path, "A message needs a title, a body or points.")


def _check_ids(definition: FlowDefinition) -> Iterator[Problem]:
    yield from _unique([(f"steps[{n}].id", step.id) for n, step in enumerate(definition.steps)], "step")
    yield from _unique([(f"{path}.id", offer.id) for path, offer in offers_of(definition)], "offer")
    for number, step in enumerate(definition.steps):
        if step.id in RESERVED_STEP_IDS:
            yield Problem(f"steps[{number}].id", f"{step.id} is the name of another page; choose another id.")
        if not isinstance(step, SurveyStep):
            continue
        reasons = [(f"steps[{number}].reasons[{n}]", reason) for n, reason in enumerate(step.reasons)]
        yield from _unique([(f"{path}.id", reason.id) for path, reason in reasons], "reason")
        for path, reason in reasons:
            if isinstance(reason.follow_up, OptionsFollowUp):
                options = enumerate(reason.follow_up.options)
                yield from _unique(
                    [(f"{path}.follow_up.options[{n}].id", o.id) for n, o in options], "option"
                )


def _unique(ids: Sequence[tuple[str, str]], noun: str) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for path, value in ids:
        if value in first:
            yield Problem(path, f"Another {noun} has the id {value} already: {first[value]}.")
        first.setdefault(value, path)


def _check_branches(definition: FlowDefinition) -> Iterator[Problem]:
    ids = [step.id for step in definition.steps]
    for number, step in enumerate(definition.steps):
        later = ids[number + 1 :]
        for position, branch in enumerate(step.branches):
            path = f"steps[{number}].branches[{position}].goto"
            if branch.goto not in ids:
                yield Problem(path, f"There is no step {branch.goto}{_or_near(branch.goto, later)}")
            elif branch.goto not in later:
                yield Problem(path, f"A branch can only go to a later step, and {branch.goto} is none.")


def _check_provider(
    definition: FlowDefinition, capabilities: Collection[Capability], provider: str
) -> Iterator[Problem]:
    for path, needed in _needs(definition):
        if needed not in capabilities:
            yield Problem(path, f"{provider} cannot {_WORDS[needed]}: it lacks the capability {needed}.")


def _needs(definition: FlowDefinition) -> Iterator[tuple[str, Capability]]:
    """What the flow asks of the provider, and where."""
    for path, offer in offers_of(definition):
        needed = NEEDED.get(OfferKind(offer.kind))
        if needed is not None:
            yield f"{path}.kind", needed
    for number, step in enumerate(definition.steps):
        if isinstance(step, ConfirmStep):
            timing = Capability.CANCEL_NOW if step.timing == "now" else Capability.CANCEL_AT_PERIOD_END
            yield f"steps[{number}].timing", timing


# --- What is worth knowing, and keeps nothing from being published --------------------------------


def remarks(
    definition: FlowDefinition, capabilities: Collection[Capability], *, provider: str = SOME_PROVIDER
) -> list[Problem]:
    """Who will not see an offer because of what the provider cannot do."""
    if Capability.PAUSE not in capabilities:
        return []
    return [
        Problem(f"{path}.kind", f"{provider} {message}")
        for path, offer in offers_of(definition)
        if isinstance(offer, PauseOffer) and (message := _who_misses(offer, capabilities))
    ]


def _who_misses(offer: PauseOffer, capabilities: Collection[Capability]) -> str | None:
    can_move = Capability.MOVE_RENEWAL in capabilities
    if needs_any_day(offer) and Capability.PAUSE_TO_ANY_DAY not in capabilities:
        who = "subscriptions that are billed every month do not see" if can_move else "nobody sees"
        return f"ends a pause only on a day of renewal: {who} this one. Offer months."
    if not can_move:
        return "cannot move a renewal: only subscriptions that are billed every month see this pause."
    return None


def named_ids(definition: FlowDefinition) -> tuple[list[str], list[str]]:
    """The prices and the coupons that the provider has to know; a plan that brings its price along needs none."""
    named = list(_named(definition))
    prices = {given for _, kind, given in named if kind == "price"}
    return sorted(prices), sorted({given for _, kind, given in named if kind == "coupon"})


def unknown_ids(
    definition: FlowDefinition, catalog: Catalog, *, provider: str = SOME_PROVIDER
) -> list[Problem]:
    """Prices and coupons that the provider, asked for `named_ids`, does not have; their offers stay hidden."""
    known = {"price": catalog.prices, "coupon": catalog.coupons}
    return [
        Problem(
            path, f"{provider} has no {kind} {given}, or it cannot be used any more: nobody is offered it."
        )
        for path, kind, given in _named(definition)
        if given not in known[kind]
    ]


def _named(definition: FlowDefinition) -> Iterator[tuple[str, str, str]]:
    for path, offer in offers_of(definition):
        if isinstance(offer, DiscountOffer) and offer.coupon_id is not None:
            yield f"{path}.coupon_id", "coupon", offer.coupon_id
        if isinstance(offer, PlanChangeOffer):
            for number, plan in enumerate(offer.plans):
                if plan.price is None:
                    yield f"{path}.plans[{number}].price_id", "price", plan.price_id


def offers_of(definition: FlowDefinition) -> Iterator[tuple[str, Offer]]:
    """Every offer of the flow with its path."""
    for number, step in enumerate(definition.steps):
        path = f"steps[{number}]"
        if isinstance(step, OfferStep):
            yield from ((f"{path}.offers[{n}]", offer) for n, offer in enumerate(step.offers))
        if isinstance(step, SurveyStep):
            for position, reason in enumerate(step.reasons):
                at = f"{path}.reasons[{position}].offers"
                yield from ((f"{at}[{n}]", offer) for n, offer in enumerate(reason.offers))


# --- Rules and words ------------------------------------------------------------------------------


def _check_rules(definition: FlowDefinition) -> Iterator[Problem]:
    """A rule about the answer to a survey must come after it, and name a reason that can be given."""
    known: list[str] = []
    for number, step in enumerate(definition.steps):
        path = f"steps[{number}]"
        yield from _check_rule(step.when, f"{path}.when", known)
        if isinstance(step, SurveyStep):
            earlier, known = known, [*known, *(reason.id for reason in step.reasons)]
            for position, reason in enumerate(step.reasons):
                at = f"{path}.reasons[{position}]"
                yield from _check_rule(reason.when, f"{at}.when", earlier)
                yield from _check_offer_rules(reason.offers, f"{at}.offers", known)
        if isinstance(step, OfferStep):
            yield from _check_offer_rules(step.offers, f"{path}.offers", known)
        for position, branch in enumerate(step.branches):
            yield from _check_rule(branch.when, f"{path}.branches[{position}].when", known)


def _check_offer_rules(offers: Sequence[Offer], path: str, known: Sequence[str]) -> Iterator[Problem]:
    for number, offer in enumerate(offers):
        yield from _check_rule(offer.when, f"{path}[{number}].when", known)


def _check_rule(rule: Rule | None, path: str, reasons: Sequence[str]) -> Iterator[Problem]:
    for at, leaf in _leaves(rule, path) if rule else ():
        if leaf.attribute in ("session.reason", "session.follow_up") and not reasons:
            yield Problem(
                f"{at}.attribute", f"{leaf.attribute} is not known yet: no survey comes before this."
            )
        elif leaf.attribute == "session.reason" and leaf.op in (Op.EQ, Op.NEQ, Op.IN, Op.NOT_IN):
            for given in leaf.value if isinstance(leaf.value, tuple) else (leaf.value,):
                if given not in reasons:
                    hint = _or_near(str(given), reasons)
                    yield Problem(f"{at}.value", f"No survey before this has the reason {given}{hint}")


def _leaves(rule: Rule, path: str) -> Iterator[tuple[str, Leaf]]:
    match rule:
        case All(parts) | AnyOf(parts):
            key = "all" if isinstance(rule, All) else "any"
            for number, part in enumerate(parts):
                yield from _leaves(part, f"{path}.{key}[{number}]")
        case Not(part):
            yield from _leaves(part, f"{path}.not")
        case Leaf():
            yield path, rule


def _check_texts(definition: FlowDefinition) -> Iterator[Problem]:
    for path, text in _texts(dump_flow(definition), ""):
        if any(True for _ in merge.unreadable(text)):
            yield Problem(path, "These braces are no merge field; write {{name|what to say without it}}.")
        for field in merge.fields(text):
            if field.fallback is None:
                yield Problem(path, f"{field.name} needs a fallback: {{{{{field.name}|fallback}}}}.")
            if "." in field.name and field.name not in MERGE_NAMES:
                yield Problem(path, f"There is no attribute {field.name}{_or_near(field.name, MERGE_NAMES)}")


def _texts(node: object, path: str) -> Iterator[tuple[str, str]]:
    """Every text that a customer may read, with its path."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from _texts(inner, f"{path}[{number}]")
    elif isinstance(node, dict):
        for key, inner in node.items():
            if key not in ("when", "price", "metadata"):
                yield from _texts(inner, f"{path}.{key}" if path else key)


def _or_near(name: str, known: Sequence[str]) -> str:
    """The end of a sentence that says that there is no such name."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}." if known else "."


def _natural(path: str) -> list[tuple[int, str]]:
    """Sorts `steps[10]` after `steps[2]`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]

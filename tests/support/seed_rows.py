"""All the rows of seeded sessions: link, session, offer, change, request, receipt, record, and of late ones events,
deliveries and mails. They are as the application leaves them, and of the old ones as retention does.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session, col, select

from app.core.billing import Capability
from app.core.calendar import add_months, iso, parse_moment
from app.core.email_address import address_key
from app.core.erasure import NOBODY, erased_columns, erased_record, erased_state
from app.core.flow_check import parse_flow
from app.core.summary import reference_of
from app.db.base import new_id
from app.db.tables.accounts import ApiKey, Environment, Organization
from app.db.tables.flows import Flow, FlowVersion
from app.flows import service as flows
from tests.support.seed_records import REASONS, Shop, Who, anybody, records

Row = dict[str, Any]
Rows = dict[str, list[Row]]  # table -> rows, those that are referred to first

TABLES: Final = (
    *("cancel_links", "cancel_sessions", "session_offers", "effects", "cancellation_requests", "receipts"),
    *("session_records", "events", "webhook_deliveries", "mails"),
)
LATELY: Final = timedelta(days=30)  # events and mails are kept no longer
RETENTION: Final = timedelta(days=400)
SWEPT: Final = timedelta(hours=1)  # by the sweep after their time was over
ASKED: Final = timedelta(seconds=30)  # for the link, before it is followed
KINDS: Final = {  # as records name offers -> kind, id
    "DISCOUNT": ("discount", "half-price"),
    "PAUSE": ("pause", "take-a-break"),
    "PLAN_CHANGE": ("plan_change", "smaller"),
    "CONTACT": ("contact", "get-help"),
    "REDIRECT": ("redirect", "whats-new"),
}
VIEWS: Final = {"why": "survey", "why.offer": "offer", "anything-else": "feedback", "confirm": "confirm"}
RECEIPTS: Final = {
    "cancel": "cancellation",
    "discount": "discount",
    "pause": "pause",
    "plan_change": "plan_change",
}
PRODUCTS: Final = {"lite": "Lite", "pro": "Pro", "team": "Team"}
FLOW: Final = {
    "version": 1,
    "name": "Seeded",
    "steps": [
        {
            "kind": "survey",
            "id": "why",
            "title": "Why do you want to leave?",
            "reasons": [{"id": reason, "label": label} for reason, label, _ in REASONS],
        },
        {"kind": "feedback", "id": "anything-else", "title": "Anything else?"},
        {"kind": "confirm", "id": "confirm", "timing": "period_end"},
    ],
}


@dataclass(frozen=True)
class Stocked:
    """A shop with all that sessions refer to, and the moment at which they are looked at."""

    shop: Shop
    name: str
    api_key_id: str
    now: datetime
    endpoints: tuple[str, ...] = ()  # that were told of what happened
    retention: timedelta | None = RETENTION  # None: nothing is bare

    @property
    def cut(self) -> datetime | None:
        return self.now - self.retention if self.retention else None


@dataclass
class Seeded:
    """One session in the making: its record's row, and what the other rows have in common."""

    stocked: Stocked
    row: Row  # of its record
    rows: Rows = field(default_factory=dict)

    @property
    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = self.row["record"]
        return told

    @property
    def id(self) -> str:
        return str(self.row["session_id"])

    def called(self, prefix: str) -> str:
        return prefix + self.id.removeprefix("cs")

    @property
    def whose(self) -> Row:
        customer = self.told["customer"]
        return {
            "app_id": self.row["app_id"],
            "customer_id": customer["id"],
            "subscription_id": customer["subscriptionId"],
        }

    @property
    def at(self) -> datetime:
        at: datetime = self.row["created_at"]
        return at

    @property
    def closed_at(self) -> datetime:
        at: datetime = self.row["updated_at"]
        return at

    def add(self, table: str, **values: Any) -> Row:
        self.rows.setdefault(table, []).append(values)
        return values


def stock(db: Session, app_id: str, *, now: datetime) -> Stocked:
    """The shop of that App ID. What sessions refer to is made where it is not there: a key, and a published flow."""
    environment = db.get_one(Environment, app_id)
    organization = db.get_one(Organization, environment.organization_id)
    key = db.exec(select(ApiKey.id).where(ApiKey.app_id == app_id, ApiKey.kind == "flow")).first()
    if key is None:
        key = new_id("key")
        db.add(
            ApiKey(
                id=key, app_id=app_id, key_sha256=_hash(key), key_encrypted="", hint="none", created_at=now
            )
        )
    flow = db.exec(select(Flow).where(Flow.organization_id == organization.id)).first()
    if flow is None or not _versions(db, flow):
        capabilities = frozenset(Capability)
        flows.publish(
            db,
            organization_id=organization.id,
            definition=parse_flow(FLOW),
            capabilities=capabilities,
            now=now,
        )
        flow = db.exec(select(Flow).where(Flow.organization_id == organization.id)).one()
    shop = Shop(app_id, organization.id, environment.mode, _versions(db, flow))
    return Stocked(shop, organization.name, key, now)


def _versions(db: Session, flow: Flow) -> tuple[str, ...]:
    found = select(FlowVersion.id).where(FlowVersion.flow_id == flow.id).order_by(col(FlowVersion.number))
    return tuple(db.exec(found))


def whole(
    stocked: Stocked,
    *,
    start: datetime,
    end: datetime,
    count: int,
    seed: int = 1,
    prefix: str = "seeded",
    who: Who = anybody,
) -> Iterator[Rows]:
    """The rows of that many sessions, oldest first, session by session."""
    made = records(stocked.shop, start=start, end=end, count=count, seed=seed, prefix=prefix, who=who)
    chance = random.Random(~seed)
    for row in made:
        seeded = Seeded(stocked, row)
        _session(seeded, chance)
        _bare(seeded)
        yield seeded.rows


def people(count: int) -> Who:
    """Customers of whom so many sessions are: some come once, some several times."""
    return lambda chance, _: chance.randrange(max(count * 6 // 10, 1))


# --- As the application leaves them -------------------------------------------------------------------------------


def _session(seeded: Seeded, chance: random.Random) -> None:
    told, at, closed_at = seeded.told, seeded.at, seeded.closed_at
    change = _change(seeded)
    offer = _offer(seeded, change)
    effect_id = seeded.called("eff") if change else None
    is_left = told["outcome"] == "dismissed"
    seen_at = closed_at - timedelta(hours=1) if is_left else closed_at
    link = _link(seeded)
    views = _views(seeded)
    seeded.add(
        "cancel_sessions",
        id=seeded.id,
        **seeded.whose,
        link_id=link["id"],
        flow_version_id=told["blueprintId"],
        mode=told["mode"].lower(),
        entry="link",
        email_key=address_key(told["customer"]["email"]),
        time_zone=chance.choice(("Europe/Berlin", "America/New_York", None)),
        browser_sha256=link["browser_sha256"],
        phase="walking" if is_left else "finished",
        outcome=told["outcome"],
        revision=len(views) + 1,
        event_count=0,
        locale="en",
        created_at=at,
        last_seen_at=max(seen_at, at),
        expires_at=at + timedelta(days=1),
        opened_at=at,
        closed_at=closed_at,
        state=_state(seeded, change, offer, effect_id, is_left=is_left),
        steps_viewed=views,
        explanations=_explained(offer),
        snapshot=_snapshot(seeded, change),
    )
    if offer:
        _keep_offer(seeded, offer, effect_id)
    if change and effect_id:
        _keep_effect(seeded, change, offer, effect_id)
    if told["outcome"] == "manual_cancellation_requested":
        _keep_request(seeded)
    elif change and effect_id:
        _keep_receipt(seeded, RECEIPTS[change["type"]], "confirmed", change, effect_id=effect_id)
    seeded.add("session_records", **seeded.row)
    if seeded.stocked.now - closed_at <= LATELY:
        _tell(seeded, link, change, offer, effect_id)


def _link(seeded: Seeded) -> Row:
    asked_at = seeded.at - ASKED
    return seeded.add(
        "cancel_links",
        id=seeded.called("lnk"),
        **seeded.whose,
        token_sha256=_hash(seeded.id),
        api_key_id=seeded.stocked.api_key_id,
        single_use=True,
        expires_at=asked_at + timedelta(hours=1),
        created_at=asked_at,
        exchanged_at=seeded.at,
        consumed_at=seeded.at,
        exchange_count=1,
        browser_sha256=_hash(f"browser {seeded.id}"),
        attributes=seeded.told["customer"]["customAttributes"],
    )


def _change(seeded: Seeded) -> dict[str, Any] | None:
    """What billing was asked to do, or nothing."""
    told, taken = seeded.told, seeded.told["acceptedOffer"]
    if told["outcome"] == "canceled":
        return {"type": "cancel", "timing": "period_end", "at": told["customer"]["subscriptionPeriodEnd"]}
    match taken and taken["offerType"]:
        case "DISCOUNT":
            return {
                "type": "discount",
                "couponId": taken["couponId"],
                "percentOff": taken["couponAmount"],
                "duration": "repeating",
                "months": taken["couponDuration"],
            }
        case "PAUSE":
            renewal = parse_moment(told["customer"]["subscriptionPeriodEnd"])
            return {"type": "pause", "resumesAt": iso(add_months(renewal, taken["pauseDuration"]))}
        case "PLAN_CHANGE":
            return {"type": "plan_change", "price": _price(seeded, taken["newPlanId"], taken["newPlanPrice"])}
    return None


def _offer(seeded: Seeded, change: dict[str, Any] | None) -> dict[str, Any] | None:
    """The offer as it was shown, with its figures."""
    if not seeded.told["presentedOffers"]:
        return None
    (presented,) = seeded.told["presentedOffers"]
    customer = seeded.told["customer"]
    kind, offer_id = KINDS[presented["offerType"]]
    presented["guid"] = offer_id
    is_taken = presented["accepted"]
    options = []
    if kind in ("discount", "pause", "plan_change"):
        shown = change if is_taken and change else {"type": "discount", "percentOff": 20, "duration": "once"}
        options = [{"id": kind, "change": shown, "features": []}]
    return {
        "decisionId": presented["decisionId"],
        "offerId": offer_id,
        "kind": kind,
        "placement": presented["placement"],
        "wording": {"headline": "Before you go", "body": "<p>Would this help?</p>"},
        "terms": {
            "priceNow": {"minor": customer["planPrice"], "currency": customer["currency"]},
            "interval": customer["billingInterval"],
            "intervalCount": 1,
            "options": options,
        },
        **({"link": {"url": "https://shop.example/help"}} if not options else {}),
    }


def _state(
    seeded: Seeded,
    change: dict[str, Any] | None,
    offer: dict[str, Any] | None,
    effect_id: str | None,
    *,
    is_left: bool,
) -> dict[str, Any]:
    told, at, closed_at = seeded.told, seeded.at, seeded.closed_at
    answers: dict[str, Any] = {}
    if told["surveyChoiceId"]:
        answers["why"] = {"reason": told["surveyChoiceId"], "is_skipped": False, "at": iso(at)}
    if told["feedback"]:
        answers["anything-else"] = {"text": told["feedback"], "is_skipped": False, "at": iso(closed_at)}
    ended: dict[str, Any] = {} if is_left else {"outcome": told["outcome"], "finished_at": iso(closed_at)}
    if told["outcome"] == "canceled":
        ended["canceled_at"] = iso(closed_at)
    return {
        "phase": "walking" if is_left else "finished",
        "opened_at": iso(at),
        "subscription_id": told["customer"]["subscriptionId"],
        "answers": answers,
        "offers": [_shown(seeded, offer, effect_id)] if offer else [],
        "withdrawn": [],
        **ended,
        "effects_made": 1 if change else 0,
        "used_exit": told["usedClickToCancel"],
        "manual_reasons": told["manualReasons"],
    }


def _shown(seeded: Seeded, offer: dict[str, Any], effect_id: str | None) -> dict[str, Any]:
    is_taken = seeded.told["presentedOffers"][0]["accepted"]
    taken = {"option_id": offer["kind"], "effect_id": effect_id} if is_taken and effect_id else {}
    return {
        "decision_id": offer["decisionId"],
        "placement": offer["placement"],
        "shown": offer,
        "status": "applied" if is_taken else "declined",
        **taken,
        "presented_at": iso(seeded.at),
        "answered_at": iso(seeded.at if is_taken else seeded.closed_at),
    }


def _views(seeded: Seeded) -> list[dict[str, Any]]:
    views: list[dict[str, Any]] = []
    for step in seeded.told["stepsViewed"]:
        ended = {"ended_at": step["end"]} if step["end"] else {}
        views.append(
            {"step": step["guid"], "kind": VIEWS[step["guid"]], "started_at": step["start"], **ended}
        )
    return views


def _explained(offer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if offer is None:
        return []
    why = {"offer": offer["offerId"], "shown": True, "when": None, "blockers": []}
    return [{"at": offer["placement"], "why": [why]}]


def _price(seeded: Seeded, plan: str, minor: int) -> dict[str, Any]:
    """As the plan of a subscription is stored."""
    _, product, interval = plan.split("_")
    return {
        "id": plan,
        "type": "product",
        "active": True,
        "productId": f"prod_{product}",
        "name": f"{PRODUCTS[product]} {interval}",
        "duration": {"interval": interval.removesuffix("ly"), "intervalCount": 1},
        "amount": {"model": "fixed", "value": minor, "currency": seeded.told["customer"]["currency"]},
    }


def _snapshot(seeded: Seeded, change: dict[str, Any] | None) -> dict[str, Any]:
    told = seeded.told
    customer = told["customer"]
    period = {"start": customer["subscriptionPeriodStart"], "end": customer["subscriptionPeriodEnd"]}
    status: dict[str, Any] = {"name": "active", "currentPeriod": period}
    if customer["onTrial"]:
        status = {"name": "trial", "trial": {"start": customer["trialStart"], "end": customer["trialEnd"]}}
    price = _price(seeded, customer["planId"], customer["planPrice"])
    before = {
        "id": customer["subscriptionId"],
        "customerId": customer["id"],
        "start": customer["subscriptionStart"],
        "status": status,
        "items": [{"id": f"{customer['subscriptionId']}_1", "price": price, "quantity": 1}],
        "duration": price["duration"],
        "discounts": [],
        "metadata": {},
    }
    ends = {"end": change["at"]} if change and change["type"] == "cancel" else {}
    history = {"sessions": 0, "pauses_12m": 0, "discounts_12m": 0, "saves_12m": 0, "last_by_kind": {}}
    return {
        "mode": told["mode"].lower(),
        "locale": "en",
        "customer": {
            "id": customer["id"],
            "email": customer["email"],
            "name": "Kim",
            "lastName": f"Doe {customer['id']}",
            "currency": customer["currency"],
            "addresses": [{"country": told["region"]["country"]}],
            "metadata": customer["metadata"],
        },
        "subscriptions": [{**before, **ends}],
        "prices": {},
        "coupons": {},
        "previews": {},
        "refused": [],
        "capabilities": ["cancel_at_period_end", "discount", "pause", "plan_change", "resume", "uncancel"],
        "history": {before["id"]: {**history, "paused_by_us": False, "trial_extensions": 0}},
        "attributes": customer["customAttributes"],
        "mint_attributes": {},
        "is_verified": True,
        "at_start": {before["id"]: before} if ends else {},
    }


def _keep_offer(seeded: Seeded, offer: dict[str, Any], effect_id: str | None) -> None:
    is_taken = seeded.told["presentedOffers"][0]["accepted"]
    seeded.add(
        "session_offers",
        id=offer["decisionId"],
        session_id=seeded.id,
        **seeded.whose,
        offer_id=offer["offerId"],
        kind=offer["kind"],
        placement=offer["placement"],
        status="applied" if is_taken else "declined",
        effect_id=effect_id if is_taken else None,
        presented_at=seeded.at,
        accepted_at=seeded.at if is_taken else None,
        declined_at=None if is_taken else seeded.closed_at,
        settled_at=seeded.closed_at if is_taken else None,
        shown=offer,
    )


def _keep_effect(
    seeded: Seeded, change: dict[str, Any], offer: dict[str, Any] | None, effect_id: str
) -> None:
    comes_of = offer if offer and change["type"] != "cancel" else None
    seeded.told["effects"].append(
        {
            "id": effect_id,
            "type": change["type"],
            "status": "applied",
            "decisionId": comes_of["decisionId"] if comes_of else None,
            "reason": None,
            "reference": effect_id,
            "requestedAt": iso(seeded.closed_at),
            "appliedAt": iso(seeded.closed_at),
        }
    )
    seeded.add(
        "effects",
        id=effect_id,
        session_id=seeded.id,
        **seeded.whose,
        decision_id=comes_of["decisionId"] if comes_of else None,
        type=change["type"],
        status="applied",
        attempts=1,
        requested_at=seeded.closed_at,
        applied_at=seeded.closed_at,
        reference=effect_id,
        confirmation="read_back",
        change=change,
        shown=comes_of,
    )


def _keep_request(seeded: Seeded) -> None:
    request = seeded.add(
        "cancellation_requests",
        id=seeded.called("req"),
        session_id=seeded.id,
        **seeded.whose,
        reasons=seeded.told["manualReasons"],
        created_at=seeded.closed_at,
        closed_at=seeded.closed_at + timedelta(days=2),
    )
    _keep_receipt(seeded, "cancellation_request", "requested", None, request_id=request["id"])


def _keep_receipt(
    seeded: Seeded,
    kind: str,
    status: str,
    change: dict[str, Any] | None,
    *,
    effect_id: str | None = None,
    request_id: str | None = None,
) -> None:
    """Signed by nobody: the key is the installation's own."""
    customer, shop = seeded.told["customer"], seeded.stocked.shop
    ends_at = change["at"] if change and change["type"] == "cancel" else None
    facts = dict.fromkeys(
        (
            *("newPlan", "priceBefore", "price", "nextCharge", "backTo", "renewsBefore", "renewsAt"),
            *("tax", "resumesAt", "trialEndsAt"),
        )
    )
    receipt_id = seeded.called("rcp")
    seeded.add(
        "receipts",
        id=receipt_id,
        app_id=shop.app_id,
        session_id=seeded.id,
        request_id=request_id,
        effect_id=effect_id,
        status=status,
        recipient=customer["email"],
        created_at=seeded.closed_at,
        content={
            "version": 1,
            "id": receipt_id,
            "reference": reference_of(seeded.id),
            "type": kind,
            "status": status,
            "merchant": {
                "name": seeded.stocked.name,
                "appId": shop.app_id,
                "mode": shop.mode,
                "email": None,
                "url": None,
            },
            "customerId": customer["id"],
            "email": None,
            "locale": "en",
            "timeZone": None,
            "issuedAt": iso(seeded.closed_at),
            "flowVersion": seeded.told["blueprintId"],
            "sessionId": seeded.id,
            "subscriptionId": customer["subscriptionId"],
            "requestedAt": iso(seeded.closed_at),
            "confirmedAt": iso(seeded.closed_at) if status == "confirmed" else None,
            "plan": PRODUCTS[customer["planId"].split("_")[1]],
            "facts": {**facts, "endsAt": ends_at, "endsNow": False},
            "offer": None,
            "undoUntil": ends_at,
            "providerReference": effect_id,
            "reasons": seeded.told["manualReasons"],
        },
    )


# --- What is kept for a month -------------------------------------------------------------------------------------


def _tell(
    seeded: Seeded,
    link: Row,
    change: dict[str, Any] | None,
    offer: dict[str, Any] | None,
    effect_id: str | None,
) -> None:
    customer = seeded.told["customer"]
    about_link = {
        "linkId": link["id"],
        "customerId": link["customer_id"],
        "subscriptionId": link["subscription_id"],
        "singleUse": True,
        "expiresAt": iso(link["expires_at"]),
    }
    _event(seeded, "cancel_link.created", link["created_at"], 0, {**about_link, "sessionId": None})
    _event(seeded, "cancel_link.consumed", seeded.at, 0, {**about_link, "sessionId": seeded.id})
    snapshot = seeded.rows["cancel_sessions"][0]["snapshot"]
    unrecorded = ("name", "lastName")
    record = {name: value for name, value in snapshot["customer"].items() if name not in unrecorded}
    said: list[tuple[str, datetime, dict[str, Any]]] = [
        (
            "session.started",
            seeded.at,
            {
                "sessionId": seeded.id,
                "customerId": customer["id"],
                "flowVersion": seeded.told["blueprintId"],
                "customer": record,
                "subscriptions": snapshot["subscriptions"],
            },
        )
    ]
    if offer:
        about_offer = {
            "decisionId": offer["decisionId"],
            "offerId": offer["offerId"],
            "kind": offer["kind"],
            "placement": offer["placement"],
            "optionId": None,
        }
        said.append(("session.offer_presented", seeded.at, about_offer))
    if change:
        made = {"effectId": effect_id, "change": change, "reference": effect_id, "reason": None}
        said.append(("effect.applied", seeded.closed_at, made))
    ending = {
        "outcome": seeded.told["outcome"],
        "subscriptionId": customer["subscriptionId"],
        "reason": seeded.told["surveyChoiceId"],
        "followUp": None,
        "feedback": seeded.told["feedback"],
        "usedExit": seeded.told["usedClickToCancel"],
    }
    said.append(("session.completed", seeded.closed_at, ending))
    for sequence, (type, at, data) in enumerate(said, 1):
        _event(seeded, type, at, sequence, data)
    seeded.rows["cancel_sessions"][0]["event_count"] = len(said)
    for receipt in seeded.rows.get("receipts", ()):
        _mail(seeded, receipt)


def _event(seeded: Seeded, type: str, at: datetime, sequence: int, data: dict[str, Any]) -> None:
    event = seeded.add(
        "events",
        id=seeded.called("evt") + f"_{len(seeded.rows.get('events', ()))}",
        app_id=seeded.stocked.shop.app_id,
        session_id=seeded.id if sequence else None,
        type=type,
        sequence=sequence,
        created_at=at,
        data=data,
    )
    for number, endpoint_id in enumerate(seeded.stocked.endpoints):
        seeded.add(
            "webhook_deliveries",
            id=f"dlv{event['id'].removeprefix('evt')}_{number}",
            endpoint_id=endpoint_id,
            event_id=event["id"],
            status="delivered",
            tries=0,
            claims=1,
            created_at=at,
            first_tried_at=at,
            settled_at=at,
        )


def _mail(seeded: Seeded, receipt: Row) -> None:
    seeded.add(
        "mails",
        id=seeded.called("mail"),
        app_id=receipt["app_id"],
        kind="receipt",
        recipient=receipt["recipient"],
        recipient_key=address_key(receipt["recipient"]),
        locale="en",
        subject_id=receipt["id"],
        status="sent",
        attempts=1,
        created_at=receipt["created_at"],
        sent_at=receipt["created_at"],
    )


# --- As retention leaves them -------------------------------------------------------------------------------------


def _bare(seeded: Seeded) -> None:
    """Nothing is personal any more in what is too old."""
    cut = seeded.stocked.cut
    if cut is None or seeded.closed_at > cut:
        return
    rows = seeded.rows
    swept_at = seeded.closed_at + RETENTION + SWEPT
    nobody = {"customer_id": NOBODY, "subscription_id": None}
    gone = {"browser_sha256": None, "time_zone": None, "email_key": None}
    rows.pop("receipts", None)
    for link in rows["cancel_links"]:
        link |= {**nobody, "browser_sha256": None, "attributes": {}, "revoked_at": swept_at}
    for session in rows["cancel_sessions"]:
        ended = {"phase": "finished", "outcome": session["outcome"], "finished_at": session["closed_at"]}
        session |= {**nobody, **gone, "phase": "finished", "explanations": [], "snapshot": {}}
        session["state"] = erased_state({**session["state"], **ended}, keeps_reason=True)
        session["erased_at"] = swept_at
    for offer in rows.get("session_offers", ()):
        offer |= {**nobody, "shown": {}}
    for effect in rows.get("effects", ()):
        effect |= {**nobody, "change": {"type": effect["type"]}, "shown": None, "reference": None}
    for request in rows.get("cancellation_requests", ()):
        request |= {"customer_id": None, "subscription_id": None}
    for record in rows["session_records"]:
        record |= erased_columns(keeps_reason=True)
        record["record"] = erased_record(record["record"], keeps_reason=True, now=swept_at)
        record["updated_at"] = swept_at


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def in_batches(sessions: Iterator[Rows], size: int) -> Iterator[Mapping[str, Sequence[Row]]]:
    """The rows of so many sessions at a time, table by table."""
    batch: Rows = {table: [] for table in TABLES}
    for number, rows in enumerate(sessions, 1):
        for table, some in rows.items():
            batch[table] += some
        if number % size == 0:
            yield batch
            batch = {table: [] for table in TABLES}
    if any(batch.values()):
        yield batch

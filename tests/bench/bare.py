"""The bare handlers: same framework, server and database class, the same reads and writes, the same outbound calls,
and nothing else. No signature, no rule, no form token; statements are built once and go past the ORM. A page is one
flat template with our style sheet, gzipped; a request is one line of uvicorn's log, as it is one of ours.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment
from litestar import Litestar, Request, Response, get, post
from litestar.params import FromPath
from sqlalchemy import RowMapping, Select, bindparam, func, insert, select, text, update
from sqlmodel import Session

from app.adapters.http import OutboundHttp
from app.db.base import Json, UtcDateTime, new_id
from app.db.database import Database
from app.db.tables import EventRow
from app.web.compress import compress
from tests.support.merchant import BILLING_KEY, LOOPBACK

PATIENCE_S = 20.0
STYLE = (Path(__file__).parents[2] / "static" / "css" / "hosted.css").read_text()
PAGE = Environment(autoescape=True, auto_reload=False).from_string(
    """<!doctype html><html lang="en"><meta charset="utf-8"><title>{{ brand }}</title><style>{{ style|safe }}</style>
<h1>Cancel your subscription?</h1><p>{{ session.customer_id }}, {{ session.phase }}, until {{ session.expires_at }}</p>
<ul>{% for view in session.steps_viewed %}<li>{{ view.step }}: {{ view.started_at }}</li>{% endfor %}</ul>
<form method="post">{% for name in names %}<button name="action" value="{{ name }}">{{ name }}</button>
{% endfor %}</form>
"""
)
RECEIPT_PAGE = Environment(autoescape=True, auto_reload=False).from_string(
    """<!doctype html><html lang="en"><meta charset="utf-8"><title>{{ brand }}</title><style>{{ style|safe }}</style>
<h1>Receipt</h1><dl>{% for name, value in content.items() %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}</dl><form method="post"><button name="action" value="undo">undo</button></form>
<p>Signed {{ key_id }}</p><a href="receipt.json" download>file</a>
"""
)
EVENT = {"decisionId": "dec_0", "offerId": "half-price", "kind": "discount", "placement": "why"}
SHOWN = {**EVENT, "copy": {"headline": "Half price?", "body": "For three months."}, "terms": {"percent": 50}}
_TABLES = EventRow.metadata.tables
_ORGANIZATIONS, _ENVIRONMENTS, _KEYS = (_TABLES[n] for n in ("organizations", "environments", "api_keys"))
_LINKS, _SESSIONS = _TABLES["cancel_links"], _TABLES["cancel_sessions"]
_OFFERS, _EFFECTS, _EVENTS = (_TABLES[name] for name in ("session_offers", "effects", "events"))
_RECEIPTS, _VERIFICATIONS, _JOBS, _LIMITS = (
    _TABLES[name] for name in ("receipts", "verifications", "outbox_jobs", "rate_limits")
)
_FLOWS, _VERSIONS = _TABLES["flows"], _TABLES["flow_versions"]
_ENDPOINTS, _CONNECTIONS = _TABLES["webhook_endpoints"], _TABLES["connections"]

SESSION = select(_SESSIONS).where(_SESSIONS.c.id == bindparam("id"))
ENVIRONMENT = select(_ENVIRONMENTS).where(_ENVIRONMENTS.c.app_id == bindparam("app_id"))
ORGANIZATION = select(_ORGANIZATIONS).where(_ORGANIZATIONS.c.id == bindparam("id"))
LINK = select(_LINKS).where(_LINKS.c.token_sha256 == bindparam("token_sha256"))
KEYS = select(_KEYS).where(_KEYS.c.app_id == bindparam("app_id"))
CALLER = (
    select(_ENVIRONMENTS, _KEYS.c.id.label("key_id"))
    .join(_KEYS, _KEYS.c.app_id == _ENVIRONMENTS.c.app_id)
    .where(_KEYS.c.key_sha256 == bindparam("key_sha256"))
)
PUBLISHED = (
    select(_VERSIONS.c.id)
    .join(_FLOWS, _FLOWS.c.id == _VERSIONS.c.flow_id)
    .where(_FLOWS.c.organization_id == bindparam("organization_id"))
    .order_by(_VERSIONS.c.number.desc())
    .limit(1)
)
ACCEPTED = select(_OFFERS).where(
    _OFFERS.c.app_id == bindparam("app_id"),
    _OFFERS.c.customer_id == bindparam("customer_id"),
    _OFFERS.c.accepted_at.is_not(None),
)
SESSIONS = (
    select(func.count())
    .select_from(_SESSIONS)
    .where(_SESSIONS.c.app_id == bindparam("app_id"), _SESSIONS.c.customer_id == bindparam("customer_id"))
)
PAUSES = (
    select(_EFFECTS)
    .join(_SESSIONS, _SESSIONS.c.id == _EFFECTS.c.session_id)
    .where(_SESSIONS.c.app_id == bindparam("app_id"), _SESSIONS.c.customer_id == bindparam("customer_id"))
)
CONSUME = (
    update(_LINKS)
    .where(_LINKS.c.token_sha256 == bindparam("known_as"), _LINKS.c.consumed_at.is_(None))
    .values(consumed_at=bindparam("now"), exchanged_at=bindparam("now"), exchange_count=1)
)
STORE = (
    update(_SESSIONS)
    .where(_SESSIONS.c.id == bindparam("known_as"))
    .values(state=bindparam("state"), snapshot=bindparam("snapshot"), phase="walking")
)
STEP = (
    update(_SESSIONS)
    .where(_SESSIONS.c.id == bindparam("known_as"))
    .values(state=bindparam("state"), last_seen_at=bindparam("now"), revision=_SESSIONS.c.revision + 1)
)
OFFER_OF = select(_OFFERS).where(_OFFERS.c.session_id == bindparam("id")).limit(1)
ANSWER = update(_OFFERS).where(_OFFERS.c.id == bindparam("known_as")).values(declined_at=bindparam("now"))
RECEIPT = select(_RECEIPTS).where(_RECEIPTS.c.id == bindparam("id"))
TAKEN_BACK = (
    select(_EFFECTS.c.id)
    .join(_SESSIONS, _SESSIONS.c.id == _EFFECTS.c.session_id)
    .where(
        _SESSIONS.c.app_id == bindparam("app_id"),
        _SESSIONS.c.customer_id == bindparam("customer_id"),
        _EFFECTS.c.subscription_id == bindparam("subscription_id"),
        _EFFECTS.c.type == "uncancel",
        _EFFECTS.c.status == "applied",
        _EFFECTS.c.applied_at >= bindparam("after"),
    )
    .limit(1)
)
BUCKETS = 5  # gap, hour and day of an address, hour of a network, hour of a merchant
HOLD = (
    text(
        "INSERT INTO rate_limits (bucket, counts, expires_at) VALUES "
        + ", ".join(f"(:bucket_{number}, '{{}}', :now)" for number in range(BUCKETS))
        + " ON CONFLICT (bucket) DO UPDATE SET expires_at = rate_limits.expires_at RETURNING bucket, counts"
    )
    .bindparams(bindparam("now", type_=UtcDateTime()))
    .columns(_LIMITS.c.bucket, counts=Json)
)
COUNT = (
    update(_LIMITS)
    .where(_LIMITS.c.bucket == bindparam("known_as"))
    .values(counts=bindparam("counts"), expires_at=bindparam("expires_at"))
)
JUST_ASKED = (
    select(_VERIFICATIONS)
    .where(
        _VERIFICATIONS.c.browser_sha256 == bindparam("browser_sha256"),
        _VERIFICATIONS.c.created_at > bindparam("since"),
    )
    .limit(20)
)
NEW_VERIFICATION, NEW_JOB = insert(_VERIFICATIONS), insert(_JOBS)
NEW_SESSION, NEW_LINK, NEW_OFFER = insert(_SESSIONS), insert(_LINKS), insert(_OFFERS)
NEW_EVENT = insert(_EVENTS)
LISTENING = select(_ENDPOINTS.c.id, _ENDPOINTS.c.types).where(
    _ENDPOINTS.c.app_id == bindparam("app_id"),
    _ENDPOINTS.c.disabled_at.is_(None),
    _ENDPOINTS.c.removed_at.is_(None),
)
HEALTH = select(_CONNECTIONS.c.failures, _CONNECTIONS.c.rest_until, _CONNECTIONS.c.last_ok_at).where(
    _CONNECTIONS.c.app_id == bindparam("app_id")
)


def create_bare(database_url: str, outside: str) -> Litestar:
    """The handlers under the addresses of the product's, with `/bare` before them."""
    database, http = Database(database_url), OutboundHttp((LOOPBACK,))
    authorization = {"authorization": f"Bearer {BILLING_KEY}"}

    @get("/healthz")
    async def healthz() -> str:
        return "ok"

    @post("/bare/mint", status_code=201)
    async def mint(request: Request[Any, Any, Any]) -> dict[str, str]:
        body = json.loads(await request.body())
        key_sha256 = sha256(request.headers["x-ck-api-key"].encode()).hexdigest()
        return {"id": await database.write(_mint, body, key_sha256)}

    @get("/bare/land/{token_sha256:str}")
    async def land(token_sha256: FromPath[str]) -> Response[None]:
        session_id, customer_id = await database.write(_exchange, token_sha256)
        about = f"{outside}/test/customers/{customer_id}"
        prices = "price=price_lite_monthly&price=price_lite_yearly&coupon=coupon_thanks"
        replies = await asyncio.gather(
            http.get(about, authorization, deadline_s=PATIENCE_S),
            http.get(f"{about}/subscriptions", authorization, deadline_s=PATIENCE_S),
            http.get(f"{outside}/test/catalog?{prices}", authorization, deadline_s=PATIENCE_S),
            http.post_json(f"{outside}/customer-data", {"customerId": customer_id}, deadline_s=PATIENCE_S),
        )
        await database.write(_store, session_id, [json.loads(reply.body) for reply in replies])
        return _to(session_id)

    @get("/bare/step/{session_id:str}")
    async def show(session_id: FromPath[str]) -> Response[bytes]:
        session = await database.read(_read, session_id)
        page = PAGE.render(brand="Northwind", style=STYLE, session=session, names=("confirm", "keep", "back"))
        packed = compress(page.encode())
        return Response(packed or b"", media_type="text/html", headers={"Content-Encoding": "gzip"})

    @post("/bare/step/{session_id:str}")
    async def step(request: Request[Any, Any, Any], session_id: FromPath[str]) -> Response[None]:
        form = await request.form()
        await database.write(_step, session_id, form)
        return _to(session_id)

    @post("/bare/verify/{app_id:str}")
    async def verify(request: Request[Any, Any, Any], app_id: FromPath[str]) -> Response[None]:
        form = await request.form()
        await database.read(_read_owner, app_id)
        network, cookie = request.headers["x-forwarded-for"], request.headers["cookie"]
        return _to(await database.write(_verify, app_id, form["email"], network, cookie))

    @get("/bare/receipts/{receipt_id:str}")
    async def receipt(receipt_id: FromPath[str]) -> Response[bytes]:
        found = await database.read(_read_receipt, receipt_id)
        page = RECEIPT_PAGE.render(brand="Northwind", style=STYLE, **found)
        packed = compress(page.encode())
        return Response(packed or b"", media_type="text/html", headers={"Content-Encoding": "gzip"})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await database.connect()
        yield
        await http.aclose()
        await database.close()

    return Litestar(
        [healthz, mint, land, show, step, verify, receipt],
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
    )


def _mint(db: Session, body: dict[str, Any], key_sha256: str) -> str:
    caller = _row(db, CALLER, key_sha256=key_sha256)
    now = datetime.now(UTC)
    values = {
        "id": new_id("lnk"),
        "app_id": caller["app_id"],
        "token_sha256": sha256(new_id("cl").encode()).hexdigest(),
        "customer_id": body["customerId"],
        "api_key_id": caller["key_id"],
        "single_use": True,
        "expires_at": now + timedelta(hours=1),
        "created_at": now,
        "exchange_count": 0,
        "attributes": {},
    }
    db.connection().execute(NEW_LINK, values)
    _emit(db, str(caller["app_id"]), "created")
    return str(values["id"])


def _exchange(db: Session, token_sha256: str) -> tuple[str, str]:
    now = datetime.now(UTC)
    link = _row(db, LINK, token_sha256=token_sha256)
    db.connection().execute(CONSUME, {"known_as": token_sha256, "now": now})
    environment = _row(db, ENVIRONMENT, app_id=link["app_id"])
    version = _row(db, PUBLISHED, organization_id=environment["organization_id"])
    db.connection().execute(KEYS, {"app_id": link["app_id"]}).all()
    values = {
        "id": new_id("cs"),
        "app_id": link["app_id"],
        "link_id": link["id"],
        "flow_version_id": version["id"],
        "customer_id": link["customer_id"],
        "mode": "test",
        "phase": "opening",
        "revision": 0,
        "event_count": 0,
        "locale": "en",
        "created_at": now,
        "last_seen_at": now,
        "expires_at": now + timedelta(days=1),
        **{name: {} for name in ("state", "snapshot")},
        **{name: [] for name in ("steps_viewed", "explanations")},
    }
    db.connection().execute(NEW_SESSION, values)
    _emit(db, str(link["app_id"]), "exchanged", "consumed")
    db.connection().execute(HEALTH, {"app_id": link["app_id"]}).all()
    return str(values["id"]), str(link["customer_id"])


def _store(db: Session, session_id: str, replies: list[Any]) -> None:
    session = _row(db, SESSION, id=session_id)
    whose = {"app_id": session["app_id"], "customer_id": session["customer_id"]}
    for statement in (ACCEPTED, SESSIONS, PAUSES):
        db.connection().execute(statement, whose).all()
    customer, subscriptions, catalog, attributes = replies
    snapshot = {"customer": customer, **subscriptions, **catalog, **attributes}
    db.connection().execute(STORE, {"known_as": session_id, "state": session["state"], "snapshot": snapshot})
    _emit(db, str(session["app_id"]), "started")


def _read(db: Session, session_id: str) -> RowMapping:
    session = _row(db, SESSION, id=session_id)
    environment = _row(db, ENVIRONMENT, app_id=session["app_id"])
    _row(db, ORGANIZATION, id=environment["organization_id"])
    return session


def _step(db: Session, session_id: str, form: Mapping[str, str]) -> None:
    """What is written: the session; an answered survey brings an offer, a declined offer the next one."""
    session, now = _read(db, session_id), datetime.now(UTC)
    app_id = str(session["app_id"])
    db.connection().execute(STEP, {"known_as": session_id, "state": session["state"], "now": now})
    if "reason" in form:
        _present(db, session)
        _emit(db, app_id, "presented")
    elif form.get("action") == "decline":
        shown = _row(db, OFFER_OF, id=session_id)
        db.connection().execute(ANSWER, {"known_as": shown["id"], "now": now})
        _present(db, session)
        _emit(db, app_id, "declined", "presented")


def _read_owner(db: Session, app_id: str) -> RowMapping:
    environment = _row(db, ENVIRONMENT, app_id=app_id)
    return _row(db, ORGANIZATION, id=environment["organization_id"])


def _verify(db: Session, app_id: str, address: str, network: str, cookie: str) -> str:
    """Hold and count what is limited, look for what the browser has asked before, owe the look-up and the mail."""
    now, asker = datetime.now(UTC), sha256(cookie.encode()).hexdigest()
    parties = (f"gap{address}", f"hour{address}", f"day{address}", network, app_id)
    buckets = sorted(sha256(party.encode()).hexdigest() for party in parties)
    names = {f"bucket_{number}": bucket for number, bucket in enumerate(buckets)}
    held = db.connection().execute(HOLD, {**names, "now": now}).all()
    db.connection().execute(JUST_ASKED, {"browser_sha256": asker, "since": now - timedelta(days=1)}).all()
    minute, until = f"{now:%H:%M}", now + timedelta(hours=1)
    counted = [
        {"known_as": b, "counts": {**counts, minute: counts.get(minute, 0) + 1}, "expires_at": until}
        for b, counts in held
    ]
    db.connection().execute(COUNT, counted)
    values = {
        "id": new_id("ver"),
        "app_id": app_id,
        "browser_sha256": asker,
        "address": address,
        "locale": "en",
        "created_at": now,
        "asked_at": now,
        "expires_at": now + timedelta(days=1),
        "sends": 1,
        "tries": 0,
    }
    db.connection().execute(NEW_VERIFICATION, values)
    job = {"id": new_id("job"), "kind": "verification", "subject_id": values["id"], "due_at": now}
    db.connection().execute(NEW_JOB, {**job, "attempts": 0, "payload": {"send": 1}})
    return str(values["id"])


def _read_receipt(db: Session, receipt_id: str) -> dict[str, Any]:
    receipt = _row(db, RECEIPT, id=receipt_id)
    _row(db, ENVIRONMENT, app_id=receipt["app_id"])
    content = receipt["content"]
    whose = {"customer_id": content["customerId"], "subscription_id": content["subscriptionId"]}
    of_then = {"app_id": receipt["app_id"], "after": receipt["created_at"]}
    db.connection().execute(TAKEN_BACK, {**whose, **of_then}).all()
    return {"content": content, "key_id": receipt["key_id"]}


def _present(db: Session, session: RowMapping) -> None:
    values = {
        "id": new_id("dec"),
        "session_id": session["id"],
        "app_id": session["app_id"],
        "customer_id": session["customer_id"],
        "offer_id": "half-price",
        "kind": "discount",
        "placement": "why",
        "status": "presented",
        "presented_at": datetime.now(UTC),
        "shown": SHOWN,
    }
    db.connection().execute(NEW_OFFER, values)


def _emit(db: Session, app_id: str, *types: str) -> None:
    now = datetime.now(UTC)
    rows = [
        {"id": new_id("evt"), "app_id": app_id, "type": name, "sequence": 0, "created_at": now, "data": EVENT}
        for name in types
    ]
    db.connection().execute(NEW_EVENT, rows)
    db.connection().execute(LISTENING, {"app_id": app_id}).all()


def _row(db: Session, statement: Select[Any], **values: str) -> RowMapping:
    return db.connection().execute(statement, values).mappings().one()


def _to(session_id: str) -> Response[None]:
    return Response(None, status_code=303, headers={"Location": f"/bare/step/{session_id}"})

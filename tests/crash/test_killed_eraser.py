"""Whoever erases is killed, at every moment of an erasure: it is finished all the same, nothing is counted twice or
missed, no trace stays, and nobody else's row is touched. On SQLite that is the server itself; on PostgreSQL a worker
beside it. So it is with what retention forgets.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import Connection, NullPool, create_engine, inspect, text, update
from sqlmodel import Session, col, func, select

from app.accounts import service as accounts
from app.accounts.service import Scope
from app.adapters.clock import SystemClock
from app.adapters.signing import Signer
from app.adapters.vault import Vault
from app.core.email_address import address_key
from app.db.database import Database
from app.db.tables.effects import Effect
from app.db.tables.events import EventRow
from app.db.tables.links import CancelLink
from app.db.tables.mail import Mail
from app.db.tables.manual import CancellationRequest
from app.db.tables.outbox import OutboxJob
from app.db.tables.privacy import Erasure
from app.db.tables.receipts import Receipt
from app.db.tables.sessions import CancelSession, SessionOffer
from app.db.tables.verifications import Verification
from app.db.tables.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.privacy import service
from app.privacy.service import PrivacyPorts
from app.setup import webhooks as setup
from app.webhooks.kinds import Format, SigningScheme
from tests.crash.stage import DONE_WITHIN_S, SECRET, Doer, Stage
from tests.support import seed_rows, seed_sessions
from tests.support.databases import KINDS
from tests.support.merchant import LOOPBACK
from tests.support.seed_rows import Stocked

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

THEIRS, OTHERS = 45, 10  # sessions: many bites
A_DAY = timedelta(days=1)
HELD_AFTER: Final = 5  # looks, one after the other, at which somebody was writing: nobody writes that long
LOCK: Final = 4711  # PostgreSQL's advisory lock on which whoever is held waits
BOOKKEEPING: Final = frozenset(
    {"outbox_jobs", "erasures", "rate_limits", "api_usage", "api_keys", "environments"}
)
_people = count(7_100_001)


class Death(StrEnum):
    """How far the erasure had come."""

    CLAIMED = "claimed, nothing erased"
    FIRST = "within the first bite"
    BETWEEN = "between two bites"
    SECOND = "within the second bite"
    ERASED = "all erased, job still owed"


class Eraser(StrEnum):
    WORKER = "the worker"
    ASKED = "the server that was asked, while it waits"


CASES = [
    pytest.param(kind, eraser, death, id=f"{kind}-{eraser.name.lower()}-{death.name.lower()}")
    for kind in KINDS
    for eraser, deaths in {
        Eraser.WORKER: tuple(Death),
        Eraser.ASKED: (Death.BETWEEN, Death.SECOND, Death.ERASED),
    }.items()
    for death in deaths
]


@dataclass(frozen=True)
class Person:
    """Somebody of whom there are many sessions, whose ids have `mark` in them."""

    number: int

    @property
    def email(self) -> str:
        return f"person{self.number}@mail{self.number % 50}.example"

    @property
    def mark(self) -> str:
        return f"_p{self.number}_"

    @property
    def traces(self) -> tuple[str, ...]:
        """The address, what billing calls them, and what they said."""
        number = self.number
        return (self.email, f"cus_{number}", f"sub_{number}", f"Yours, number {number}", f"{number} by hand")


@dataclass
class Office:
    """The process that erases, and whom it is asked to erase."""

    stage: Stage
    stocked: Stocked
    person: Person
    key: str
    doer: Doer

    @property
    def database(self) -> Database:
        return self.stage.database

    def owe(self) -> None:
        """As a server leaves it that died as soon as it was asked, half a minute later."""
        ports = PrivacyPorts(self.database, SystemClock(), Vault([SECRET]), Signer((SECRET,)), "dead")
        self.database.write_sync(
            service._begin,
            ports,
            organization_id=self.stocked.shop.organization_id,
            email=self.person.email,
            requested_by="cli",
            now=datetime.now(UTC),
        )
        self.database.write_sync(_let_leases_end)

    async def ask(self) -> None:
        """Ask the server. Whether it lives to answer is another matter."""
        headers = {"x-ck-app": self.stocked.shop.app_id, "x-ck-api-key": self.key}
        async with httpx.AsyncClient(base_url=self.stage.url, headers=headers, timeout=60) as client:
            with suppress(httpx.TransportError):
                await client.post("/v1/data/dsr/delete", json={"email": self.person.email})

    async def kill_at(self, death: Death, eraser: Eraser) -> None:
        """Have them erased, and kill who does it when it has come so far."""
        if death is Death.CLAIMED:
            self.owe()
            return
        asking: asyncio.Task[None] | None = None
        if eraser is Eraser.ASKED and not self.database.is_sqlite:
            self.stage.start(LEAVEWELL_WORKER="none")
        if eraser is Eraser.ASKED and self.database.is_sqlite:
            self.stage.start()
        with held(self.database, self._statement(death)):
            if eraser is Eraser.ASKED:
                asking = asyncio.create_task(self.ask())
            else:
                self.owe()
                self.doer.start()
            if death is Death.BETWEEN:
                await asyncio.to_thread(self._kill_between_bites, eraser)
            else:
                await self._wait_until_held(death)
                self._kill(eraser)
        if asking is not None:
            await asking
        self.database.write_sync(_let_leases_end)

    def _kill(self, eraser: Eraser) -> None:
        if eraser is Eraser.ASKED:
            self.stage.kill()
        else:
            self.doer.kill()

    def _statement(self, death: Death) -> "Statement | None":
        """The one at which whoever carries it out is held."""
        bite = service.BITE
        match death:
            case Death.FIRST:
                return Statement("UPDATE", "cancel_sessions", f"NEW.id = '{self._nth_session(bite // 2)}'")
            case Death.SECOND:
                return Statement(
                    "UPDATE", "cancel_sessions", f"NEW.id = '{self._nth_session(bite + bite // 2)}'"
                )
            case Death.ERASED:
                return Statement("DELETE", "outbox_jobs", f"OLD.kind = '{service.JOB}'")
        return None

    def _nth_session(self, number: int) -> str:
        """In the order in which they are erased."""
        return f"cs{self.person.mark}{number:07d}"

    async def _wait_until_held(self, death: Death) -> None:
        looks = 0
        async with asyncio.timeout(DONE_WITHIN_S):
            while looks < HELD_AFTER:
                await asyncio.sleep(0.05)
                looks = looks + 1 if self._is_there(death) and is_writing(self.database) else 0

    def _is_there(self, death: Death) -> bool:
        erasure = self.erasure()
        erased = erasure.counts.get("sessions", 0) if erasure else None
        match death:
            case Death.FIRST:
                return erased == 0
            case Death.SECOND:
                return erased == service.BITE
        return erasure is not None and erasure.finished_at is not None

    def _kill_between_bites(self, eraser: Eraser) -> None:
        """Whoever erases finds that it has to wait, after its first bite, for a test that never lets go."""
        engine = create_engine(
            self.database.url,
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args=self._impatient(),
        )
        ends_at = datetime.now(UTC) + timedelta(seconds=DONE_WITHIN_S)
        with engine.connect() as db:
            while True:
                assert datetime.now(UTC) < ends_at, "it was never between two bites"
                erasure = self.erasure()
                if erasure is None or not self._take_turn(db, erasure.id):
                    continue
                erasure = self.erasure()
                if erasure and 0 < erasure.counts.get("sessions", 0) < THEIRS:
                    break
                db.exec_driver_sql("ROLLBACK")
            self._kill(eraser)
            db.exec_driver_sql("ROLLBACK")

    def _impatient(self) -> dict[str, Any]:
        return {"timeout": 0} if self.database.is_sqlite else {}

    def _take_turn(self, db: Connection, erasure_id: str) -> bool:
        """Hold up the next bite."""
        if not self.database.is_sqlite:
            db.exec_driver_sql("BEGIN")
            db.execute(select(Erasure).where(col(Erasure.id) == erasure_id).with_for_update())
            return True
        try:
            db.exec_driver_sql("BEGIN IMMEDIATE")
        except Exception as busy:
            if "locked" not in str(busy):
                raise
            return False
        return True

    def erasure(self) -> Erasure | None:
        return self.database.read_sync(_newest_erasure)

    async def finished(self) -> Erasure:
        """The erasure, once its job is put away too."""
        async with asyncio.timeout(DONE_WITHIN_S):
            while self.database.read_sync(_is_owed):  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.1)
        erasure = self.erasure()
        assert erasure is not None
        return erasure


@contextmanager
def office_of(stage: Stage, *, born: timedelta = 20 * A_DAY) -> Iterator[Office]:
    """Somebody has come again and again, lately or so long ago; so have others."""
    now = datetime.now(UTC)
    database, person = stage.database, Person(next(_people))
    with stage.doer() as doer:
        stocked = database.write_sync(seed_rows.stock, stage.merchant.app_id, now=now)
        # Events and mails are there whatever their age.
        late = replace(stocked, now=now - born + A_DAY, retention=None, endpoints=(_endpoint_of(stage, now),))
        url = database.url.render_as_string(hide_password=False)
        for many, whose, prefix in (
            (THEIRS, person, person.mark),
            (OTHERS, Person(1), f"_o{person.number}_"),
        ):
            made = seed_rows.whole(
                late,
                start=now - born,
                end=now - born + A_DAY,
                count=many,
                prefix=prefix.strip("_"),
                who=lambda chance, number, of=whose.number: of,
            )
            seed_sessions.insert_whole(url, made)
            database.write_sync(_add_by_hand, stocked.shop.app_id, whose, now - born + A_DAY, prefix)
        key = database.write_sync(
            accounts.create_data_key, Vault([SECRET]), app_id=stocked.shop.app_id, scopes=[Scope.DSR], now=now
        )
        yield Office(stage, stocked, person, key.secret, doer)


def _endpoint_of(stage: Stage, now: datetime) -> str:
    """One that was told of everything, and is told of nothing any more."""
    known = stage.database.read_sync(lambda db: db.exec(select(WebhookEndpoint.id)).first())
    if known is not None:
        return known
    made = stage.database.write_sync(
        setup.add_endpoint,
        Vault([SECRET]),
        app_id=stage.merchant.app_id,
        url="http://127.0.0.1:9/hooks",
        types=("cancel_link.revoked",),
        description=None,
        format=Format.STANDARD,
        scheme=SigningScheme.V1,
        allowed=(LOOPBACK,),
        now=now,
    )
    return made.endpoint.id


def _add_by_hand(db: Session, app_id: str, person: Person, at: datetime, mark: str) -> None:
    """What is left without a session, and what endpoints answered: an echo."""
    key = address_key(person.email)
    db.add(
        CancellationRequest(
            id=f"req{mark}by_hand",
            app_id=app_id,
            address=person.email,
            address_key=key,
            note=f"{person.number} by hand",
            reasons=["unverified"],
            created_at=at,
            closed_at=at,
        )
    )
    db.add(
        Verification(
            id=f"ver{mark}",
            app_id=app_id,
            browser_sha256="0" * 64,
            address=person.email,
            address_key=key,
            locale="en",
            created_at=at,
            asked_at=at,
            expires_at=at + 100 * A_DAY,
        )
    )
    for delivery in _deliveries_of(db, _events_of(db, f"%{mark}%")):
        event = db.get_one(EventRow, delivery.event_id)
        db.add(
            WebhookAttempt(
                id=f"att{delivery.id.removeprefix('dlv')}",
                delivery_id=delivery.id,
                tried_at=at,
                latency_ms=5,
                url="http://127.0.0.1:9/hooks",
                request_headers={"webhook-id": event.id},
                status=200,
                response_body=str(event.data),
            )
        )


# --- Holding whoever erases -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """`what` is done to a row of the table that meets the condition, which speaks of OLD and NEW."""

    what: str
    table: str
    condition: str


@contextmanager
def held(database: Database, at: Statement | None) -> Iterator[None]:
    """Whoever carries that statement out does not come to the end of it before the block does."""
    if at is None:
        yield
        return
    engine = create_engine(database.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as db:
        for line in _SQLITE_TRAP if database.is_sqlite else _POSTGRESQL_TRAP:
            db.exec_driver_sql(line.format(at=at))
        if not database.is_sqlite:
            db.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK})")
        try:
            yield
        finally:
            if not database.is_sqlite:
                db.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK})")
            for line in _SQLITE_FREE if database.is_sqlite else _POSTGRESQL_FREE:
                db.exec_driver_sql(line.format(at=at))


# SQLite cannot wait inside a statement. It counts, and is killed long before it has come to the end of that.
_SQLITE_TRAP: Final = (
    "CREATE VIEW trap AS WITH RECURSIVE far(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM far WHERE n < 1000000000000)"
    " SELECT max(n) AS n FROM far",
    "CREATE TRIGGER trapped AFTER {at.what} ON {at.table} WHEN {at.condition} BEGIN SELECT n FROM trap; END",
)
_SQLITE_FREE: Final = ("DROP TRIGGER trapped", "DROP VIEW trap")
_POSTGRESQL_TRAP: Final = (
    "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$ BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN NULL; END $$",
    "CREATE TRIGGER trapped AFTER {at.what} ON {at.table} FOR EACH ROW WHEN ({at.condition})"
    " EXECUTE FUNCTION trap()",
)
_POSTGRESQL_FREE: Final = ("DROP TRIGGER trapped ON {at.table}", "DROP FUNCTION trap")


def is_writing(database: Database) -> bool:
    """Whether somebody holds SQLite's one writer, or waits in the trap."""
    if not database.is_sqlite:
        return database.read_sync(_is_trapped)
    with closing(sqlite3.connect(database.url.database or "", timeout=0, isolation_level=None)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


def _is_trapped(db: Session) -> bool:
    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :lock AND NOT granted"
    )
    return bool(db.connection().execute(waiting, {"lock": LOCK}).scalar())


# --- What is there ----------------------------------------------------------------------------------------------------


def dump(database: Database) -> dict[str, list[str]]:
    """Every column of every row of every table, as the database itself writes it."""
    return database.read_sync(_dump)


def _dump(db: Session) -> dict[str, list[str]]:
    connection = db.connection()
    row = "t::text" if connection.dialect.name == "postgresql" else "*"
    return {
        table: sorted(
            repr(tuple(found)) for found in connection.exec_driver_sql(f'SELECT {row} FROM "{table}" t')
        )
        for table in inspect(connection).get_table_names()
    }


def others(dumped: dict[str, list[str]], person: Person) -> dict[str, list[str]]:
    """Everybody else's rows."""
    return {
        table: [row for row in rows if person.mark not in row and not about(row, person)]
        for table, rows in dumped.items()
        if table not in BOOKKEEPING
    }


def about(row: str, person: Person) -> bool:
    return any(trace in row for trace in person.traces)


def counted(db: Session, person: Person) -> dict[str, int]:
    """How many rows of what there are, by the ids that they were given."""
    mark = f"%{person.mark}%"

    def number(table: Any) -> int:
        return db.exec(select(func.count()).select_from(table).where(table.id.like(mark))).one()

    events = _events_of(db, mark)
    return {
        "sessions": number(CancelSession),
        "offers": number(SessionOffer),
        "changes": number(Effect),
        "receipts": number(Receipt),
        "requests": number(CancellationRequest),
        "mails": number(Mail),
        "links": number(CancelLink),
        "events": len(events),
        "deliveries": len(_deliveries_of(db, events)),
        "verifications": number(Verification),
    }


def _events_of(db: Session, mark: str) -> Sequence[str]:
    return db.exec(select(EventRow.id).where(col(EventRow.id).like(mark))).all()


def _deliveries_of(db: Session, events: Sequence[str]) -> Sequence[WebhookDelivery]:
    return db.exec(select(WebhookDelivery).where(col(WebhookDelivery.event_id).in_(events))).all()


def _newest_erasure(db: Session) -> Erasure | None:
    return db.exec(select(Erasure).order_by(col(Erasure.requested_at).desc()).limit(1)).first()


def _is_owed(db: Session) -> bool:
    return db.exec(select(OutboxJob.id).where(OutboxJob.kind == service.JOB)).first() is not None


def _let_leases_end(db: Session) -> None:
    """As if half a minute had gone by."""
    over = datetime.now(UTC) - timedelta(seconds=1)
    db.connection().execute(
        update(OutboxJob).where(col(OutboxJob.locked_until).is_not(None)).values(locked_until=over)
    )


@pytest.mark.parametrize(("kind", "eraser", "death"), CASES)
async def test_an_erasure_is_finished_whenever_the_process_dies(
    stage_on: Callable[..., Stage], kind: str, eraser: Eraser, death: Death
) -> None:
    with office_of(stage_on(kind, is_dark=True)) as office:
        database, person = office.database, office.person
        expected, before = database.read_sync(counted, person), dump(database)
        assert all(expected.values()), "too little is there to be worth a test"
        await office.kill_at(death, eraser)
        office.doer.start()
        proof = await office.finished()
        assert proof.finished_at is not None
        assert (proof.counts, proof.waiting, proof.address_encrypted) == (expected, 0, None)
        after = dump(database)
        assert [row for rows in after.values() for row in rows if about(row, person)] == []
        assert others(after, person) == others(before, person)
        stays = Counter({table: sum(person.mark in row for row in rows) for table, rows in after.items()})
        assert stays["cancel_sessions"] == stays["session_records"] == THEIRS


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_too_old_is_forgotten_although_the_process_died_over_it(
    stage_on: Callable[..., Stage], kind: str
) -> None:
    with office_of(stage_on(kind, is_dark=True), born=450 * A_DAY) as office:
        database, person = office.database, office.person
        expected = database.read_sync(counted, person)
        newest = database.read_sync(_newest_session, person)  # that one is forgotten last
        trap = Statement("UPDATE", "cancel_sessions", f"NEW.id = '{newest}'")
        with held(database, trap):
            office.doer.start()
            await _wait_for_the_sweep(office)
            office.doer.kill()
        left = database.read_sync(_left_personal, person)
        assert 0 < left < THEIRS
        office.doer.start()
        async with asyncio.timeout(DONE_WITHIN_S):
            while any(about(row, person) for rows in dump(database).values() for row in rows):  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.2)
        after = database.read_sync(counted, person)
        stays = ("sessions", "offers", "changes", "links")
        assert {name: after[name] for name in stays} == {name: expected[name] for name in stays}
        assert [after[name] for name in ("receipts", "mails", "events", "deliveries")] == [0, 0, 0, 0]


async def _wait_for_the_sweep(office: Office) -> None:
    looks = 0
    async with asyncio.timeout(DONE_WITHIN_S):
        while looks < HELD_AFTER:
            await asyncio.sleep(0.05)
            has_begun = office.database.read_sync(_left_personal, office.person) < THEIRS
            looks = looks + 1 if has_begun and is_writing(office.database) else 0


def _newest_session(db: Session, person: Person) -> str:
    theirs = select(CancelSession.id).where(col(CancelSession.id).like(f"%{person.mark}%"))
    return db.exec(theirs.order_by(col(CancelSession.closed_at).desc()).limit(1)).one()


def _left_personal(db: Session, person: Person) -> int:
    mark = f"%{person.mark}%"
    left = (col(CancelSession.id).like(mark), col(CancelSession.erased_at).is_(None))
    return db.exec(select(func.count()).select_from(CancelSession).where(*left)).one()

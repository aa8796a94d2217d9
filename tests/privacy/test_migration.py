"""What was erased by an earlier version is as bare afterwards as if this one had done it; nothing else is touched."""

from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlmodel import select

from app.connections.health import SILENCE
from app.core.eligibility import ManualReason
from app.core.erasure import NOBODY, erased_state
from app.core.request_reasons import EMAIL_NOT_VERIFIED, OWN_REASONS
from app.core.state import SessionState
from app.db import schema
from app.db.base import new_id
from app.db.database import Database, Session
from app.db.engines import parse_url
from app.db.migrate import alembic_config
from app.db.tables.connections import Connection
from app.db.tables.effects import Effect
from app.db.tables.links import CancelLink
from app.db.tables.manual import CancellationRequest
from app.db.tables.privacy import Erasure
from app.db.tables.sessions import CancelSession, SessionOffer
from app.flows import service as flows
from tests.support.clock import START, FakeClock
from tests.support.merchant import Merchant, open_merchant

TABLES = ("cancel_links", "cancel_sessions", "session_offers", "effects")


def keep(db: Session, merchant: Merchant, name: str, customer_id: str, erased_at: datetime | None) -> None:
    """A link with its session, an offer and a change; of one that is erased as little as erasing leaves."""
    whose = {"app_id": merchant.app_id, "customer_id": customer_id}
    is_erased = erased_at is not None
    db.add(
        CancelLink(
            id=f"lnk_{name}",
            token_sha256=new_id("token"),
            api_key_id=merchant.key_id,
            expires_at=START + timedelta(hours=1),
            created_at=START,
            revoked_at=erased_at,
            attributes={} if is_erased else {"plan": "Pro"},
            **whose,
        )
    )
    db.flush()
    db.add(
        CancelSession(
            id=f"cs_{name}",
            link_id=f"lnk_{name}",
            flow_version_id=flows.get_published_id(db, organization_of(db, merchant)),
            mode="test",
            phase="finished",
            outcome="discount_accepted",
            locale="en",
            created_at=START,
            last_seen_at=START,
            expires_at=START,
            closed_at=START,
            erased_at=erased_at,
            **whose,
        )
    )
    db.flush()
    db.add(
        SessionOffer(
            id=f"dec_{name}",
            session_id=f"cs_{name}",
            offer_id="half-price",
            kind="discount",
            placement="why",
            status="applied",
            presented_at=START,
            accepted_at=START,
            shown={},
            **whose,
        )
    )
    db.add(
        Effect(
            id=f"eff_{name}",
            session_id=f"cs_{name}",
            type="discount",
            status="applied",
            requested_at=START,
            change={"type": "discount"},
            **whose,
        )
    )


def organization_of(db: Session, merchant: Merchant) -> str:
    statement = text("SELECT organization_id FROM environments WHERE app_id = :app_id")
    found: str = db.connection().execute(statement, {"app_id": merchant.app_id}).scalar_one()
    return found


def customers(url: str) -> dict[str, dict[str, str]]:
    """Whose each row is, by its table and its name."""
    engine = create_engine(parse_url(url))
    with engine.connect() as connection:
        found = {
            table: {
                row.id.partition("_")[2]: row.customer_id
                for row in connection.execute(text(f"SELECT id, customer_id FROM {table}"))
            }
            for table in TABLES
        }
    engine.dispose()
    return found


def test_what_was_erased_is_nobodys_and_a_customer_called_so_stays(
    blank_database_url: str, clock: FakeClock
) -> None:
    schema.upgrade(blank_database_url)
    with Database(blank_database_url) as database:
        merchant = open_merchant(database, clock)

        def fill(db: Session) -> None:
            keep(db, merchant, "gone", NOBODY, START)
            keep(db, merchant, "namesake", "erased", None)
            keep(db, merchant, "ben", "cus_ben", None)

        database.write_sync(fill)
    config = alembic_config(blank_database_url)
    command.downgrade(config, "0006")
    before = {"gone": "erased", "namesake": "erased", "ben": "cus_ben"}
    assert customers(blank_database_url) == dict.fromkeys(TABLES, before)
    command.upgrade(config, "head")
    after = {"gone": "", "namesake": "erased", "ben": "cus_ben"}
    assert customers(blank_database_url) == dict.fromkeys(TABLES, after)


# --- Words of others --------------------------------------------------------------------------------------------------

WORDS: Final = 'Customer ben@example.com still owes "invoice 7"'
GIVEN: Final = ("unpaid", WORDS, "not_made", "sch\u00f6n", "unpaid")
BARE: Final = ("unpaid", "not_made", "not_made", "not_made", "unpaid")
OURS_ALONE: Final = ("provider_unavailable", "email_not_verified")
OF_SESSION: Final = {
    "phase": "finished",
    "outcome": "manual_cancellation_requested",
    "finished_at": "2026-11-21T09:05:00Z",
    "answers": {"why": {"reason": "pr\u00e4is", "at": "2026-11-21T09:00:00Z"}},
}


def leave_to_a_person(db: Session, name: str, app_id: str, reasons: tuple[str, ...], **request: Any) -> None:
    """Have a session of `keep` come to a request, with these reasons in both."""
    row = db.get_one(CancelSession, f"cs_{name}")
    row.state = SessionState.model_validate({**OF_SESSION, "manual_reasons": reasons}).to_json()
    row.steps_viewed = row.state.pop("views")
    db.add(
        CancellationRequest(
            id=f"req_{name}",
            app_id=app_id,
            session_id=row.id,
            reasons=list(reasons),
            created_at=START,
            closed_at=START,
            **request,
        )
    )


def fail(db: Session, app_id: str, said: str, at: datetime) -> None:
    db.merge(Connection(app_id=app_id, failures=1, last_failed_at=at, last_error=said))


def reasons_in(db: Session) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Those of each session and those of its request, by name."""
    states = {row.id[3:]: SessionState.model_validate(row.state) for row in db.exec(select(CancelSession))}
    requests = {row.id[4:]: tuple(row.reasons) for row in db.exec(select(CancellationRequest))}
    return {name: (state.manual_reasons, requests[name]) for name, state in states.items()}


def test_what_was_erased_says_nothing_in_the_words_of_others(
    blank_database_url: str, clock: FakeClock
) -> None:
    schema.upgrade(blank_database_url)
    command.downgrade(alembic_config(blank_database_url), "0008")
    with Database(blank_database_url) as database:
        merchant = open_merchant(database, clock)
        app_id = merchant.app_id

        def fill(db: Session) -> None:
            keep(db, merchant, "gone", NOBODY, START)
            keep(db, merchant, "plain", NOBODY, START)
            keep(db, merchant, "ben", "cus_ben", None)
            leave_to_a_person(db, "gone", app_id, GIVEN)
            leave_to_a_person(db, "plain", app_id, OURS_ALONE)
            leave_to_a_person(db, "ben", app_id, GIVEN, customer_id="cus_ben")
            for name in ("gone", "ben"):
                db.get_one(Effect, f"eff_{name}").last_error = WORDS

        database.write_sync(fill)
    schema.upgrade(blank_database_url)
    with Database(blank_database_url) as database:
        assert database.read_sync(reasons_in) == {
            "gone": (BARE, BARE),
            "plain": (OURS_ALONE, OURS_ALONE),
            "ben": (GIVEN, GIVEN),
        }
        states = {
            row.id: row.state for row in database.read_sync(lambda db: list(db.exec(select(CancelSession))))
        }
        assert states["cs_gone"] == erased_state({**OF_SESSION, "manual_reasons": GIVEN}, keeps_reason=True)
        effects = {
            row.id: row.last_error for row in database.read_sync(lambda db: list(db.exec(select(Effect))))
        }
        assert effects == {"eff_gone": None, "eff_plain": None, "eff_ben": WORDS}


@pytest.mark.parametrize(
    ("said", "failed_at", "left"),
    [
        (WORDS, START, None),
        (WORDS, START + timedelta(days=2), WORDS),  # since then
        (SILENCE, START, SILENCE),
    ],
)
def test_what_billing_said_before_somebody_was_erased_is_gone(
    blank_database_url: str, clock: FakeClock, said: str, failed_at: datetime, left: str | None
) -> None:
    schema.upgrade(blank_database_url)
    command.downgrade(alembic_config(blank_database_url), "0008")
    with Database(blank_database_url) as database:
        merchant = open_merchant(database, clock)

        def fill(db: Session) -> None:
            fail(db, merchant.app_id, said, failed_at)
            db.add(
                Erasure(
                    id="ers_1",
                    organization_id=organization_of(db, merchant),
                    address_mac="of nobody",
                    requested_by="cli",
                    requested_at=START,
                    finished_at=START + timedelta(days=1),
                )
            )

        database.write_sync(fill)
    schema.upgrade(blank_database_url)
    with Database(blank_database_url) as database:
        row = database.read_sync(lambda db: db.get_one(Connection, merchant.app_id))
        assert (row.last_error, row.failures, row.last_failed_at) == (left, 1, failed_at)


def test_the_migration_knows_every_reason_that_a_request_can_have() -> None:
    migration = ScriptDirectory.from_config(alembic_config("sqlite:///unused")).get_revision("0009").module
    assert OWN_REASONS.issuperset(migration.OURS)
    assert {*map(str, ManualReason), EMAIL_NOT_VERIFIED} <= set(migration.OURS)
    assert migration.SILENCE == SILENCE

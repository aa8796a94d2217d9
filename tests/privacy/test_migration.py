"""What was erased before nobody had an id that no customer can have is nobody's afterwards; nothing else is touched."""

from datetime import datetime, timedelta

from alembic import command
from sqlalchemy import create_engine, text

from app.core.erasure import NOBODY
from app.db import schema
from app.db.base import new_id
from app.db.database import Database, Session
from app.db.engines import parse_url
from app.db.migrate import alembic_config
from app.db.tables.effects import Effect
from app.db.tables.links import CancelLink
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

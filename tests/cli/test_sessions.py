"""What a session was, as support reads it."""

from datetime import datetime
from typing import Any

from app.core.state import Answer, SessionState
from app.db.base import new_id
from app.db.database import Database, Session
from app.db.tables.accounts import Environment
from app.db.tables.effects import Effect
from app.db.tables.mail import Mail
from app.db.tables.sessions import CancelSession, SessionOffer
from app.flows import service as flows
from app.receipts import service as receipts
from tests.cli.conftest import Run
from tests.support.clock import START, FakeClock


def keep(db: Session, app_id: str, now: datetime) -> str:
    """A session that was walked to its end: a survey, an accepted offer, a change that was made."""
    environment = db.get_one(Environment, app_id)
    version = flows.get_published(db, environment.organization_id)
    state = SessionState(
        answers={"why": Answer(reason="too-expensive", follow_up="lower-price", at=now)}, used_exit=True
    )
    views: list[dict[str, Any]] = [
        {
            "step": "why",
            "kind": "survey",
            "started_at": "2026-11-21T09:00:00Z",
            "ended_at": "2026-11-21T09:01:05Z",
        },
        {"step": "why.offer", "kind": "offer", "started_at": "2026-11-21T09:01:05Z"},
    ]
    rule = {"verdict": "yes", "op": "eq", "attribute": "plan", "expected": "Pro", "why": "“Pro” is “Pro”"}
    unmet = {
        "verdict": "unknown",
        "op": "all",
        "why": "part 1 is not known",
        "parts": [{"verdict": "unknown", "op": "gt", "attribute": "tenureMonths", "why": "it is not known"}],
    }
    session = CancelSession(
        id=new_id("cs"),
        app_id=app_id,
        flow_version_id=version.id,
        customer_id="cus_1",
        subscription_id="sub_1",
        mode="test",
        phase="finished",
        outcome="discount_accepted",
        locale="en",
        created_at=now,
        last_seen_at=now,
        expires_at=now,
        closed_at=now,
        data_call_reason="timeout",
        state=state.model_dump(mode="json", exclude_defaults=True),
        steps_viewed=views,
        explanations=[
            {"at": "smaller-plan?", "why": rule},
            {
                "at": "why.offer:too-expensive",
                "why": [
                    {"offer": "half-price", "shown": True, "when": rule, "blockers": []},
                    {"offer": "later", "shown": False, "when": unmet, "blockers": ["cooldown"]},
                ],
            },
        ],
    )
    db.add(session)
    db.flush()
    effect_id = new_id("eff")
    db.add(
        SessionOffer(
            id=new_id("dec"),
            session_id=session.id,
            app_id=app_id,
            customer_id="cus_1",
            offer_id="half-price",
            kind="discount",
            placement="why.offer:too-expensive",
            status="applied",
            effect_id=effect_id,
            presented_at=now,
            accepted_at=now,
            shown={},
        )
    )
    db.add(
        Effect(
            id=effect_id,
            app_id=app_id,
            session_id=session.id,
            customer_id="cus_1",
            type="discount",
            status="applied",
            attempts=2,
            requested_at=now,
            applied_at=now,
            reference="disc_1",
            confirmation="read_back",
            last_error="timeout",
            change={},
        )
    )
    return session.id


def test_a_session_is_told_from_its_first_screen_to_its_outcome(
    run: Run, app_id: str, database: Database, clock: FakeClock
) -> None:
    session_id = database.write_sync(keep, app_id, START)
    assert session_id in run("sessions", "list", app_id, "--customer", "cus_1").out
    told = run("sessions", "show", session_id).out
    for words in (
        "outcome        discount_accepted",
        "customer data  timeout",
        "why: too-expensive / lower-price",
        "09:00:00  why (survey)  1 min 5 s",
        "half-price (discount) at why.offer:too-expensive: applied",
        "✓ plan eq: “Pro” is “Pro”",
        "later: not shown",
        "? tenureMonths gt: it is not known",
        "✗ The customer took an offer of this kind too recently.",
        "discount: applied",
        "disc_1",
        "read_back",
        "last error    timeout",
    ):
        assert words in told


def test_what_the_customer_has_in_writing_is_told(
    run: Run, app_id: str, database: Database, clock: FakeClock
) -> None:
    session_id = database.write_sync(keep, app_id, START)

    def write(db: Session) -> None:
        row = db.get_one(CancelSession, session_id)
        row.entry = "email"
        content = {"type": "discount", "status": "confirmed"}
        receipts.issue(
            db,
            app_id=app_id,
            session_id=session_id,
            content={"id": "rcp_1", **content},
            recipient="ben@example.com",
            now=START,
        )
        db.add(
            Mail(
                id="mail_1",
                app_id=app_id,
                kind="receipt",
                recipient="ben@example.com",
                locale="en",
                subject_id="rcp_1",
                status="refused",
                last_error="550 No such user",
                created_at=START,
            )
        )

    database.write_sync(write)
    told = run("sessions", "show", session_id).out
    for words in (
        "came by        email",
        "discount: confirmed  rcp_1",
        "receipt to ben@example.com: refused",
        "550 No such user",
    ):
        assert words in told


def test_a_session_that_there_is_not_is_said_to_be_none(run: Run, app_id: str) -> None:
    assert run("sessions", "list", app_id).err == "There are no sessions.\n"
    assert run("sessions", "show", "cs_none").errors[0].startswith("There is no session cs_none")

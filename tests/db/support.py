"""Rows and jobs that the database tests use."""

from datetime import datetime

from sqlmodel import select

from app.db import outbox
from app.db.base import new_id
from app.db.database import Session
from app.db.outbox import Job
from app.db.tables import Organization, OutboxJob


def add_organization(db: Session, slug: str, now: datetime) -> Organization:
    organization = Organization(id=new_id("org"), name="Northwind Notes", slug=slug, created_at=now)
    db.add(organization)
    return organization


def list_slugs(db: Session) -> list[str]:
    return sorted(db.exec(select(Organization.slug)))


def owe(db: Session, now: datetime, subject: str = "eff_1") -> Job:
    return outbox.enqueue(db, kind="effect", subject_id=subject, due_at=now, payload={"n": 1})


def list_jobs(db: Session) -> list[OutboxJob]:
    return list(db.exec(select(OutboxJob)))

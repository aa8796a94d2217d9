"""Publishes flows and hands out what was published. A version never changes, so its parsed form is kept in memory."""

from collections.abc import Set
from datetime import datetime
from typing import Final

from sqlmodel import Session

from app.core.billing import Capability
from app.core.errors import FieldError, InvalidInput, NotFound
from app.core.flow import FlowDefinition, dump_flow
from app.core.flow_check import SOME_PROVIDER, parse_flow, validate_flow
from app.db.base import new_id
from app.db.tables.flows import Flow, FlowVersion
from app.flows import queries


class FlowNotPublishable(InvalidInput):
    code = "flow_not_publishable"
    user_message = "The flow cannot be published as it is."


class NoFlowPublished(NotFound):
    code = "no_flow_published"
    user_message = "No cancel flow has been published yet."


def publish(
    db: Session,
    *,
    organization_id: str,
    definition: FlowDefinition,
    capabilities: Set[Capability],
    now: datetime,
    provider: str = SOME_PROVIDER,
    note: str = "",
) -> FlowVersion:
    """Make `definition` the flow that new sessions walk; sessions under way keep theirs.

    Raises FlowNotPublishable, naming each place, for a flow without a way out or with offers that the connected
    provider, which is called `provider`, cannot carry out. Publishing what is published already changes nothing.
    """
    problems = validate_flow(definition, capabilities, provider=provider)
    if problems:
        raise FlowNotPublishable(fields=[FieldError(p.path, p.message) for p in problems])
    stored = dump_flow(definition)
    last = queries.find_published(db, organization_id)
    if last is not None and last.definition == stored:
        return last
    flow = queries.find_flow(db, organization_id)
    if flow is None:
        flow = Flow(id=new_id("flw"), organization_id=organization_id, updated_at=now)
        db.add(flow)
    flow.draft = stored
    flow.updated_at = now
    version = FlowVersion(
        id=new_id("fv"),
        flow_id=flow.id,
        number=last.number + 1 if last else 1,
        definition=stored,
        note=note,
        published_at=now,
    )
    db.flush()
    db.add(version)
    return version


def get_published(db: Session, organization_id: str) -> FlowVersion:
    version = queries.find_published(db, organization_id)
    if version is None:
        raise NoFlowPublished
    return version


def get_published_id(db: Session, organization_id: str) -> str:
    version_id = queries.find_published_id(db, organization_id)
    if version_id is None:
        raise NoFlowPublished
    return version_id


def load(db: Session, version_id: str) -> FlowDefinition:
    """The parsed flow of a version; read from the database once per process."""
    kept = _parsed.get(version_id)
    if kept is None:
        kept = parse_flow(db.get_one(FlowVersion, version_id).definition)
        if len(_parsed) >= _MOST_PARSED:
            _parsed.pop(next(iter(_parsed)), None)
        _parsed[version_id] = kept
    return kept


def number_of(db: Session, version_id: str) -> int:
    """Which of its flow's versions it is; read from the database once per process."""
    kept = _numbers.get(version_id)
    if kept is None:
        kept = db.get_one(FlowVersion, version_id).number
        if len(_numbers) >= _MOST_PARSED:
            _numbers.pop(next(iter(_numbers)), None)
        _numbers[version_id] = kept
    return kept


_MOST_PARSED: Final = 256
_parsed: dict[str, FlowDefinition] = {}
_numbers: dict[str, int] = {}

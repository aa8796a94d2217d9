"""requests: cancellations that a person has to carry out. Lists them, shows one, and notes that it is dealt with."""

import re
from typing import Final

import click

from app.accounts import service as accounts
from app.cli.console import Failed, Workshop, pairs, remark, say, table, workshop
from app.cli.receipts import REFERENCE
from app.core.eligibility import ManualReason
from app.core.request_reasons import EMAIL_NOT_VERIFIED, NOT_MADE
from app.core.summary import reference_of
from app.db.tables.manual import CancellationRequest
from app.manual import queries, service

ID: Final = re.compile(r"req_([0-9a-f]{8,64})")
MOST_NAMED: Final = 20


@click.group()
def requests() -> None:
    """Cancellations that a person of yours has to carry out."""


@requests.command("list")
@click.argument("app_id")
@click.option("--all", "shows_all", is_flag=True, help="Those that are dealt with, too.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True)
@click.option("--before", metavar="REQUEST", help="Where to go on: the last request of an earlier list.")
def list_(app_id: str, shows_all: bool, limit: int, before: str | None) -> None:
    """Those that are open, newest first."""
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        last = _find(at, app_id, before) if before else None
        found = at.database.read_sync(
            service.list_requests,
            app_id=app_id,
            limit=limit + 1,
            before=(last.created_at, last.id) if last else None,
            is_open=None if shows_all else True,
        )
    page = found[:limit]
    rows = [
        (one.id, reference_of(one.id), _from(one), one.created_at, ", ".join(one.reasons), _status(one))
        for one in page
    ]
    empty = "There are no requests." if shows_all else "There are no open requests."
    table(("REQUEST", "REFERENCE", "FROM", "LEFT", "WHY", "STATUS"), rows, empty)
    if len(found) > len(page):
        remark(f"More: --before {page[-1].id}")


@requests.command()
@click.argument("app_id")
@click.argument("request")
def show(app_id: str, request: str) -> None:
    """One REQUEST with its note, by its id (req_…) or its reference (LW-…)."""
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        one = _find(at, app_id, request)
    pairs(
        [
            ("request", one.id),
            ("reference", _references(one)),
            ("left", one.created_at),
            ("status", _status(one)),
            ("address", f"{one.address} (nobody has proven it)" if one.address else None),
            ("customer", one.customer_id),
            ("subscription", one.subscription_id),
            ("session", one.session_id),
        ]
    )
    for reason in one.reasons:
        say(f"{'why':<12}  {_sentence(reason)}")
    if one.note:
        say()
        for line in one.note.splitlines():
            say(f"  {line}")


@requests.command()
@click.argument("app_id")
@click.argument("request")
def close(app_id: str, request: str) -> None:
    """Note that a REQUEST is dealt with. Nobody is told."""
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        one = _find(at, app_id, request)
        at.database.write_sync(service.close, app_id=app_id, request_id=one.id, now=at.now)
    remark(f"{one.id} ({reference_of(one.id)}) is closed.")


def _find(at: Workshop, app_id: str, name: str) -> CancellationRequest:
    reference, own = REFERENCE.fullmatch(name), ID.fullmatch(name)
    begin = "".join(reference.groups()).lower() if reference else own[1] if own else None
    found = (
        at.database.read_sync(queries.list_named, app_id=app_id, begin=begin, limit=MOST_NAMED)
        if begin
        else []
    )
    if not found:
        raise Failed(f"There is no request {name} in this environment.")
    if len(found) > 1:
        raise Failed(f"{name} is the reference of {len(found)}: {', '.join(one.id for one in found)}.")
    return found[0]


def _references(one: CancellationRequest) -> list[str]:
    """Its own, as the merchant was told it, and its session's, as the customer was."""
    return [reference_of(id) for id in (one.id, one.session_id) if id]


def _from(one: CancellationRequest) -> str | None:
    return one.customer_id or one.address


def _status(one: CancellationRequest) -> str:
    return f"closed {one.closed_at:%Y-%m-%d}" if one.closed_at else "open"


def _sentence(reason: str) -> str:
    known = {str(one): one.sentence for one in ManualReason}
    ours = {
        EMAIL_NOT_VERIFIED: "Nobody has proven the address.",
        NOT_MADE: "Billing refused; its words were erased.",
    }
    return {**known, **ours}.get(reason, reason)

"""reconcile: what customers were promised, held against what the billing system has now. Changes nothing."""

import asyncio
from datetime import timedelta

import click

from app.accounts import service as accounts
from app.cli.console import Failed, Workshop, remark, say, workshop
from app.main import make_ports, session_ports_of
from app.sessions import reconciling
from app.sessions.reconciling import START, Finding


@click.command(short_help="Compare what was promised with what billing has now.")
@click.argument("app_id")
@click.option(
    "--days", type=click.IntRange(1, 400), default=30, show_default=True, help="How far to look back."
)
def reconcile(app_id: str, days: int) -> None:
    """Ask billing about every subscription that was changed here, and list what is not as promised.

    Ends with 1 where there is a difference, or something could not be looked at.
    """
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        count, differing, unseen = asyncio.run(_compare_all(at, app_id, days))
    said = f"{count} subscriptions changed in the last {days} days; {differing} not as promised."
    remark(said if count else f"Nothing was changed in the last {days} days.")
    if unseen:
        remark(f"{unseen} could not be looked at: leavewell connections show {app_id}")
    if differing or unseen:
        raise SystemExit(1)


async def _compare_all(at: Workshop, app_id: str, days: int) -> tuple[int, int, int]:
    """How many there are, how many of them are not as promised, and how many could not be looked at.

    Each is told as it is found.
    """
    ports = make_ports(at.settings, database=at.database)
    sessions = session_ports_of(ports)
    since = at.now - timedelta(days=days)
    total = differing = unseen = 0
    place: reconciling.Known | None = START
    try:
        while place is not None:
            findings, count, place = await reconciling.compare(
                sessions, app_id=app_id, since=since, after=place
            )
            in_trouble = sum(finding.trouble is not None for finding in findings)
            total, differing = total + count, differing + len(findings) - in_trouble
            unseen += in_trouble
            for finding in findings:
                _tell(finding)
            if place is not None and in_trouble == count:
                raise Failed(
                    f"Billing cannot be asked now; the rest was left out: leavewell connections show {app_id}"
                )
    finally:
        await ports.http.aclose()
    return total, differing, unseen


def _tell(finding: Finding) -> None:
    say(f"{finding.known.subscription_id} of {finding.known.customer_id}")
    if finding.trouble:
        say(f"  could not be looked at: {finding.trouble}")
    for difference in finding.differences:
        say(f"  {difference.effect_id}  {difference.drift.sentence}")

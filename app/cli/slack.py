"""slack: whether word of sessions arrives."""

import asyncio

import click

from app.accounts import service as accounts
from app.cli.console import Workshop, remark, workshop
from app.insights import slack as telling
from app.main import make_ports, slack_ports_of


@click.group()
def slack() -> None:
    """Word of each session that is over. `leavewell setup slack APP_ID URL` says where to."""


@slack.command()
@click.argument("app_id")
def test(app_id: str) -> None:
    """Post a message, and say what Slack made of it."""
    with workshop() as at:
        at.database.read_sync(accounts.get_environment, app_id)
        asyncio.run(_test(at, app_id))
    remark("Slack has taken it.")


async def _test(at: Workshop, app_id: str) -> None:
    ports = make_ports(at.settings, database=at.database)
    try:
        await telling.test(slack_ports_of(ports), app_id=app_id)
    finally:
        await ports.http.aclose()

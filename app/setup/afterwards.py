"""What happens when a session is over: how long what is personal is kept, and where Slack is told. Dials nobody."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from sqlmodel import Session

from app.accounts import service as accounts
from app.adapters.addresses import parse_url
from app.adapters.vault import Vault
from app.core.errors import FieldError, InvalidInput
from app.db.tables.accounts import Environment
from app.settings import Network
from app.setup.addresses import outbound_problem

RETENTION_DAYS: Final = range(7, 3_651)
SLACK_HOSTS: Final = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})


def set_retention(db: Session, *, app_id: str, days: int) -> Environment:
    """After how many days the personal data of what is finished is forgotten; 0: never. Raises InvalidInput."""
    environment = accounts.get_environment(db, app_id)
    if days and days not in RETENTION_DAYS:
        bounds = f"from {RETENTION_DAYS.start} to {RETENTION_DAYS.stop - 1}"
        raise InvalidInput(
            fields=[FieldError("days", f"Must be {bounds} days, or 0, which forgets nothing.")]
        )
    environment.retention_days = days
    return environment


def set_slack(
    db: Session, vault: Vault, *, app_id: str, url: str | None, allowed: Sequence[Network]
) -> Environment:
    """The incoming webhook that is told of each session; None tells nobody. Raises InvalidInput."""
    environment = accounts.get_environment(db, app_id)
    problem = slack_problem(url, allowed) if url else None
    if problem:
        raise InvalidInput(fields=[FieldError("url", problem)])
    environment.slack_url_encrypted = vault.seal(url) if url else None
    return environment


def slack_problem(url: str, allowed: Sequence[Network]) -> str | None:
    """Slack's own address, or one in the allowed networks: plain http is dialled nowhere else anyway."""
    if problem := outbound_problem(url, allowed):
        return problem
    target = parse_url(url)
    if target.scheme == "https" and target.host in SLACK_HOSTS:
        return None
    return (
        None
        if target.scheme == "http" or _is_inside(target.host, allowed)
        else (
            "Must be an incoming webhook of Slack (https://hooks.slack.com/services/…), or an address in "
            "LEAVEWELL_ALLOWED_NETWORKS that understands the same."
        )
    )


def _is_inside(host: str, allowed: Sequence[Network]) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in allowed)

"""`leavewell …`: what an operator does from a terminal. Parses and prints; the work is done by the rooms below."""

from app.cli.connections import connections
from app.cli.console import Console
from app.cli.flows import flow
from app.cli.keys import keys
from app.cli.links import links
from app.cli.mail import mail
from app.cli.mcp import mcp
from app.cli.orgs import orgs
from app.cli.privacy import privacy
from app.cli.receipts import receipts
from app.cli.reconcile import reconcile
from app.cli.requests import requests
from app.cli.serving import migrate, secret, serve, worker
from app.cli.sessions import sessions
from app.cli.setup import setup
from app.cli.slack import slack
from app.cli.webhooks import webhooks

__all__ = ["main"]

main = Console(
    "leavewell",
    help="Leavewell: a self-hosted cancel page. Settings come from the environment; see the README.",
    commands=[
        *(serve, worker, migrate, secret),
        *(orgs, keys, setup, connections, webhooks, links, flow),
        *(sessions, receipts, requests, mail, reconcile),
        *(privacy, slack, mcp),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

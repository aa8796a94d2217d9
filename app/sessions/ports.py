"""What a session needs of the outside: handed in once, by the server and by the worker alike."""

from dataclasses import dataclass

from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.vault import Vault
from app.db.database import Database


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """`holder` names this process in leases."""

    database: Database
    clock: Clock
    http: OutboundHttp
    vault: Vault
    holder: str

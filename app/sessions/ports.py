"""What a session needs of the outside: handed in once, by the server and by the worker alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.places import Places
from app.adapters.vault import Vault
from app.connections import service as connections
from app.core.billing import BillingProvider
from app.core.direct import DirectCustomer, DirectSubscription
from app.db.database import Database
from app.db.tables.accounts import Environment

LONGEST_PATIENCE_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """`holder` names this process in leases. `lease_s`: how long its work waits for it when it has died.

    A customer waits for a change no longer than DESIGN §4 allows, and always less than the lease lasts: while one
    process tries, no other does.
    """

    database: Database
    clock: Clock
    http: OutboundHttp
    vault: Vault
    holder: str
    base_url: str  # where customers find this installation; no slash at its end
    lease_s: float = 15.0
    places: Places = field(default_factory=Places)  # the process's: how many ask one billing system at once

    @property
    def patience_s(self) -> float:
        """How long a customer's request waits for the provider before the worker takes over."""
        return min(LONGEST_PATIENCE_S, self.lease_s / 2)

    async def billing_of(
        self,
        environment: Environment,
        *,
        customer: DirectCustomer | None,
        subscriptions: Sequence[DirectSubscription],
        ends_at: float | None = None,
    ) -> BillingProvider:
        """The environment's billing system, which may have to be told what is known of a customer; for one caller.

        `ends_at`: when he stops waiting for it, by the event loop's clock; what does not answer until then has failed.
        Raises InvalidInput where the connection is not finished, or no longer valid.
        """
        return await connections.connect(
            environment,
            database=self.database,
            vault=self.vault,
            http=self.http,
            clock=self.clock,
            places=self.places,
            customer=customer,
            subscriptions=subscriptions,
            ends_at=ends_at,
        )

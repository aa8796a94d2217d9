"""What an environment's billing system can do and has, for whoever writes flows. Asks it; changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from app.adapters.billing.registry import PROVIDERS
from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.cli.connections import ask_billing
from app.cli.console import Workshop
from app.connections import service as connections
from app.core.billing import BillingProvider, Capability, PriceList, ProviderError
from app.core.errors import InvalidInput
from app.core.flow import FlowDefinition
from app.core.flow_check import Problem, named_ids, unknown_ids
from app.db.tables.accounts import Environment

PATIENCE_S: Final = 15.0

T = TypeVar("T")


class NoAnswer(Exception):
    """The billing system could not be asked; the message says why."""


@dataclass(frozen=True)
class Connected:
    """A billing system as a flow has to fit it. `label` is what people call it."""

    environment: Environment
    label: str
    capabilities: frozenset[Capability]

    def check_ids(self, at: Workshop, definition: FlowDefinition) -> list[Problem]:
        """Prices and coupons of the flow that it does not have. Raises NoAnswer."""
        prices, coupons = named_ids(definition)
        if not prices and not coupons:
            return []
        catalog = self._ask(at, lambda provider: provider.load_catalog(prices, coupons))
        return unknown_ids(definition, catalog, provider=self.label)

    def price_list(self, at: Workshop) -> PriceList:
        """What offers can name there. Raises NoAnswer."""
        return self._ask(at, lambda provider: provider.list_catalog())

    def _ask(self, at: Workshop, question: Callable[[BillingProvider], Awaitable[T]]) -> T:
        async def ask(http: OutboundHttp) -> T:
            provider = connections.adapter_of(
                self.environment, vault=at.vault, http=http, clock=SystemClock()
            )
            async with asyncio.timeout(PATIENCE_S):
                return await question(provider)

        try:
            return ask_billing(at, lambda ports: ask(ports.http))
        except ProviderError as error:
            raise NoAnswer(f"{self.label} could not be asked: {error}") from None
        except TimeoutError:
            raise NoAnswer(f"{self.label} did not answer in time.") from None


def connected(at: Workshop, environment: Environment) -> Connected:
    """Raises InvalidInput for an environment whose billing is not connected yet."""
    able = connections.capabilities(environment, vault=at.vault, http=OutboundHttp(()), clock=SystemClock())
    kind = PROVIDERS.get(environment.provider)
    return Connected(environment, kind.label if kind else environment.provider, able)


def find_connected(at: Workshop, environment: Environment) -> Connected | None:
    """None while its billing is not connected."""
    try:
        return connected(at, environment)
    except InvalidInput:
        return None

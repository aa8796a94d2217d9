from collections.abc import AsyncIterator

import pytest

from tests.adapters.billing.contract import ProviderContract
from tests.adapters.billing.simulated import SimulatedWorld, simulated


class StripeWorld(SimulatedWorld):
    secret = "api_key"
    inbound = "signed"


@pytest.fixture
async def world() -> AsyncIterator[SimulatedWorld]:
    async with simulated(StripeWorld, "stripe") as world:
        yield world


class TestStripe(ProviderContract):
    pass

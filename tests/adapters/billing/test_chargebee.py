from collections.abc import AsyncIterator

import pytest

from tests.adapters.billing.contract import ProviderContract
from tests.adapters.billing.simulated import SimulatedWorld, simulated


class ChargebeeWorld(SimulatedWorld):
    secret = "api_key"
    currencies = ("USD", "JPY")
    inbound = "authorized"
    inbound_has_time = False


@pytest.fixture
async def world() -> AsyncIterator[SimulatedWorld]:
    async with simulated(ChargebeeWorld, "chargebee") as world:
        yield world


class TestChargebee(ProviderContract):
    pass

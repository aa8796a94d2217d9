from collections.abc import AsyncIterator

import pytest

from tests.adapters.billing.contract import ProviderContract
from tests.adapters.billing.simulated import SimulatedWorld, simulated


class MaxioWorld(SimulatedWorld):
    currencies = ("USD",)
    inbound = "signed"
    inbound_has_time = False


@pytest.fixture
async def world() -> AsyncIterator[SimulatedWorld]:
    async with simulated(MaxioWorld, "maxio") as world:
        yield world


class TestMaxio(ProviderContract):
    pass

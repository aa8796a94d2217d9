from collections.abc import AsyncIterator

import pytest

from tests.adapters.billing.contract import ProviderContract
from tests.adapters.billing.simulated import SimulatedWorld, simulated


class PaddleWorld(SimulatedWorld):
    currencies = ("USD", "JPY")  # of those with three decimals it has none
    inbound = "signed"
    unpauses_to_cancel = True


@pytest.fixture
async def world() -> AsyncIterator[SimulatedWorld]:
    async with simulated(PaddleWorld, "paddle") as world:
        yield world


class TestPaddle(ProviderContract):
    pass

from collections.abc import AsyncIterator

import pytest

from tests.adapters.billing.contract import ProviderContract
from tests.adapters.billing.simulated import SimulatedWorld, simulated


class BraintreeWorld(SimulatedWorld):
    secret = "private_key"
    currencies = ("USD", "JPY")  # of those with three decimals it bills in none
    inbound = "signed"
    coupon = "coupon_five_dollars"  # it has amounts only

    def surprise(self) -> None:
        self.vendor.has_surprises = True


@pytest.fixture
async def world() -> AsyncIterator[SimulatedWorld]:
    async with simulated(BraintreeWorld, "braintree") as world:
        yield world


class TestBraintree(ProviderContract):
    pass

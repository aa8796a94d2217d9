"""What the demo has to know of a simulated vendor: how to connect to it, what it calls things, what it cannot do."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from app.core.billing import Capability
from app.core.eligibility import NEEDED
from app.core.flow import OfferKind
from demo.customers import BILLED
from demo.run import Billing
from demo.shop.config import MODES, Mode

_PATIENCE_S: Final = 20.0
# What demo/flow.yaml names of the price list.
_NAMED: Final = (
    "price_lite_monthly",
    "price_lite_yearly",
    "coupon_thanks",
    "prod_pro",
    "prod_publish",
)


@dataclass(frozen=True)
class Simulated:
    """`credentials` are a config of our adapter, by mode; `names` what the vendor calls what the demo calls so."""

    credentials: Mapping[Mode, Mapping[str, str]]
    names: Mapping[str, str]


async def ask(billing: Billing) -> Simulated:
    """Ask the simulator, which may be starting yet."""
    transport = httpx.AsyncHTTPTransport(retries=3)
    async with httpx.AsyncClient(
        base_url=billing.url, timeout=_PATIENCE_S, trust_env=False, transport=transport
    ) as http:
        credentials = {mode: (await http.get(f"/credentials/{mode}")).json() for mode in MODES}
        wanted = (*(customer.id for customer in BILLED), *_NAMED)
        names = {name: (await http.get(f"/ids/{name}")).json()["id"] for name in wanted}
    api = {"api_base": billing.api_url or ""}
    return Simulated({mode: {**api, **given} for mode, given in credentials.items()}, names)


def renamed(flow: str, names: Mapping[str, str]) -> str:
    """The flow's file, with the vendor's names in it; in quotes, for some of them are numbers."""
    return re.sub(r"\b(?:price|coupon|prod)_\w+", lambda found: _quoted(names, found[0]), flow)


def _quoted(names: Mapping[str, str], name: str) -> str:
    return json.dumps(names[name]) if name in names else name


def fitted(flow: dict[str, Any], able: Collection[Capability]) -> dict[str, Any]:
    """The flow without the offers that the vendor cannot carry out: with them it could not be published."""
    steps = []
    for step in flow["steps"]:
        reasons = [_with_offers(reason, able) for reason in step.get("reasons", ())]
        kept = _with_offers({**step, "reasons": reasons} if reasons else step, able)
        if kept.get("offers") or step["kind"] != "offer":
            steps.append(kept)
    return {**flow, "steps": steps}


def _with_offers(part: dict[str, Any], able: Collection[Capability]) -> dict[str, Any]:
    if "offers" not in part:
        return part
    return {**part, "offers": [offer for offer in part["offers"] if _is_possible(offer["kind"], able)]}


def _is_possible(kind: str, able: Collection[Capability]) -> bool:
    needed = NEEDED.get(OfferKind(kind))
    return needed is None or needed in able

"""The shop's client of its billing service: what a customer has, what happened to it, and changes to it."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import httpx

from demo.shop.config import Mode

_PATIENCE_S: Final = 5.0
_REFUSALS: Final = (404, 409, 422)


class BillingDown(Exception):
    """The billing service does not answer, or not sensibly. It may again later."""


class BillingRefused(Exception):
    """The billing service will not make this change. `message` says why, fit to be shown."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Billing:
    """Reads and changes subscriptions. Every method may raise BillingDown."""

    def __init__(self, base_url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"authorization": f"Bearer {key}"},
            timeout=_PATIENCE_S,
            transport=transport,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def find_customer(self, mode: Mode, customer_id: str) -> dict[str, Any] | None:
        """A DirectCustomer, or None."""
        return await self._read(f"/{mode}/customers/{_segment(customer_id)}") or None

    async def find_customer_by_email(self, mode: Mode, email: str) -> dict[str, Any] | None:
        """The first DirectCustomer with this address, or None."""
        found = await self._read(f"/{mode}/customers", {"email": email})
        return next(iter(_list(found, "customers")), None)

    async def list_subscriptions(self, mode: Mode, customer_id: str) -> list[dict[str, Any]]:
        """DirectSubscriptions, in the order of the billing service."""
        found = await self._read(f"/{mode}/customers/{_segment(customer_id)}/subscriptions")
        return _list(found, "subscriptions")

    async def list_events(self, mode: Mode, subscription_id: str) -> list[dict[str, Any]]:
        """What was done to a subscription, oldest first."""
        found = await self._read(f"/{mode}/subscriptions/{_segment(subscription_id)}/events")
        return _list(found, "events")

    async def act(
        self, mode: Mode, subscription_id: str, action: str, body: Mapping[str, Any], *, idempotency_key: str
    ) -> dict[str, Any]:
        """Act once per key; the subscription as it is then. Raises BillingRefused."""
        answer = await self._call(
            "POST",
            f"/{mode}/subscriptions/{_segment(subscription_id)}/{action}",
            json=dict(body),
            headers={"idempotency-key": idempotency_key},
        )
        if answer.status_code in _REFUSALS:
            raise BillingRefused(_message(answer))
        return _json(answer)

    async def _read(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        answer = await self._call("GET", path, params=params)
        return {} if answer.status_code == 404 else _json(answer)

    async def _call(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **how)
        except httpx.HTTPError as problem:
            raise BillingDown(type(problem).__name__) from problem
        if answer.status_code >= 500 or answer.status_code == 429:
            raise BillingDown(f"status {answer.status_code}")
        return answer


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        value = answer.json()
    except ValueError as problem:
        raise BillingDown("not JSON") from problem
    if not answer.is_success or not isinstance(value, dict):
        raise BillingDown(f"status {answer.status_code}")
    return value


def _list(found: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = found.get(name, [])
    return value if isinstance(value, list) else []


def _message(answer: httpx.Response) -> str:
    try:
        match answer.json():
            case {"error": {"message": str() as message}}:
                return message
    except ValueError:
        pass
    return "The billing service refused this change."


def _segment(value: str) -> str:
    return quote(value, safe="")

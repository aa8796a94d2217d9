"""The shop's one call to Leavewell: mint a cancel link. Each try is noted in the journal, masked."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from demo.shop.config import Keys
from demo.shop.journal import Journal

LINK_LIFETIME: Final = timedelta(hours=1)
_PATH: Final = "/v1/cancel-sessions"
_PATIENCE_S: Final = 8.0


class MintFailed(Exception):
    """No link could be made. `message` may be shown: what Leavewell said, or our words."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Leavewell:
    """Mints cancel links over HTTP, as any merchant's backend would."""

    def __init__(
        self, base_url: str, journal: Journal, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=_PATIENCE_S,
            transport=transport,
            trust_env=False,
            follow_redirects=False,
        )
        self._journal = journal

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def mint(
        self,
        keys: Keys,
        *,
        customer_id: str,
        subscription_id: str | None,
        return_url: str,
        now: datetime,
        billing_data: Mapping[str, Any] | None = None,
    ) -> str:
        """The address to send the customer to. `billing_data` goes along as it is. Raises MintFailed."""
        body: dict[str, Any] = {
            "customerId": customer_id,
            "expiresAt": (now + LINK_LIFETIME).isoformat(timespec="seconds"),
            "returnUrl": return_url,
        }
        if subscription_id is not None:
            body["subscriptionId"] = subscription_id
        body |= billing_data or {}
        headers = {"x-ck-app": keys.app_id, "x-ck-api-key": keys.api_key, "content-type": "application/json"}
        started = time.perf_counter()
        status: int | None = None
        answer: object = None
        remark = ""
        try:
            reply = await self._http.post(_PATH, json=body, headers=headers)
            status, answer = reply.status_code, reply.text
            answer = reply.json()
        except httpx.HTTPError as problem:
            remark = f"No answer: {type(problem).__name__}"
        except (ValueError, RecursionError):
            remark = "The answer was not JSON."
        self._journal.note(
            at=now,
            direction="to Leavewell",
            what="Mint a cancel link",
            request_line=f"POST {_PATH}",
            headers=headers,
            request_body=body,
            status=status,
            answer_body=answer,
            took_s=time.perf_counter() - started,
            remark=remark,
        )
        match status, answer:
            case 201, {"url": str() as url}:
                return url
            case _, {"message": str() as message} | {"detail": str() as message}:
                raise MintFailed(message)
            case None, _:
                raise MintFailed("The cancellation service does not answer just now.")
        raise MintFailed("The cancellation service gave an answer that we do not understand.")

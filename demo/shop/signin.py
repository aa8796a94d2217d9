"""Who is signed in, and in which mode: one signed cookie under the shop's own secret. Stores nothing."""

import hashlib
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadData, URLSafeSerializer
from litestar.datastructures import Cookie

from demo.shop.config import Mode, is_mode

COOKIE_NAME: Final = "northwind_visit"
_COOKIE_AGE_S: Final = 7 * 24 * 3600


@dataclass(frozen=True)
class Visit:
    """A visitor: signed in as a customer or not, looking at test or live data."""

    customer_id: str | None = None
    mode: Mode = "test"


class SignIn:
    """Writes and reads the visit cookie. A cookie that is not ours is a visitor who is not signed in."""

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeSerializer(
            secret, salt="northwind.visit", signer_kwargs={"digest_method": hashlib.sha256}
        )

    def read(self, cookie: str | None) -> Visit:
        """The visit a browser's cookie speaks of."""
        if not cookie:
            return Visit()
        try:
            value = self._serializer.loads(cookie)
        except BadData:
            return Visit()
        match value:
            case {"c": str() | None as customer_id, "m": mode} if is_mode(mode):
                return Visit(customer_id, mode)
        return Visit()

    def cookie(self, visit: Visit) -> Cookie:
        """The cookie to set. `Lax` lets the customer come back from the cancel page still signed in."""
        return Cookie(
            key=COOKIE_NAME,
            value=str(self._serializer.dumps({"c": visit.customer_id, "m": visit.mode})),
            path="/demo",
            max_age=_COOKIE_AGE_S,
            httponly=True,
            samesite="lax",
        )

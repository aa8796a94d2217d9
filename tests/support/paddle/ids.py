"""Paddle's ids: a prefix and 26 lower-case letters and digits; and its time stamps."""

import base64
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

_KINDS: Final = {"cus": "ctm", "sub": "sub", "price": "pri", "coupon": "dsc", "prod": "pro", "evt": "evt"}
_THEIRS = re.compile(r"(sub|ctm|pri|dsc|pro|add|evt)_[a-z\d]{26}")


def named(prefix: str, name: str) -> str:
    """The id of a thing with that name, the same every time."""
    digits = base64.b32hexencode(sha256(f"{prefix} {name}".encode()).digest()).decode().lower()
    return f"{prefix}_01{digits[:24]}"


def translated(name: str) -> str:
    """A name from the demo, such as `sub_ben_pro`, as an id of Paddle's; one that is such an id already stays."""
    if _THEIRS.fullmatch(name):
        return name
    kind = name.partition("_")[0]
    return named(_KINDS.get(kind, "pri"), name)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """Raises ValueError for a time without an offset."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time needs an offset")
    return found.astimezone(UTC)

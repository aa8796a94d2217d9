"""The last requests between shop and Leavewell, for the backstage page: in memory, bounded, masked."""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

Direction = Literal["to Leavewell", "from Leavewell"]

_KEPT: Final = 40
_SHOWN_CHARS: Final = 6_000
_SHOWN_HEADERS: Final = frozenset(
    {
        "content-type",
        "idempotency-key",
        "retry-after",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-ck-api-key",
        "x-ck-app",
    }
)
_LINK_TOKEN: Final = re.compile(r"cl_[A-Za-z0-9_\-.]{8,}")
_API_KEY: Final = re.compile(r"\b(live|test)_[A-Za-z0-9_\-]{16,}")
_SIGNATURE: Final = re.compile(r"\b([0-9a-f]{6})[0-9a-f]{58}\b")
_WEBHOOK_SIGNATURE: Final = re.compile(r"\b(v1,.{6})[A-Za-z0-9+/=]{20,}")


def mask(text: str) -> str:
    """The same text with what could be used by a reader (link tokens, API keys, signatures) made useless."""
    text = _LINK_TOKEN.sub("cl_••••", text)
    text = _API_KEY.sub(lambda key: f"{key[1]}_••••{key[0][-4:]}", text)
    text = _WEBHOOK_SIGNATURE.sub(r"\1…", text)
    return _SIGNATURE.sub(r"\1…", text)


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, ready to be shown."""

    at: datetime
    direction: Direction
    what: str
    request_line: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: str
    status: int | None
    answer_body: str
    took_ms: int
    remark: str

    @property
    def is_good(self) -> bool:
        """Whether the answer was a success."""
        return self.status is not None and self.status < 400


class Journal:
    """The newest exchanges, newest first."""

    def __init__(self) -> None:
        self._entries: deque[Exchange] = deque(maxlen=_KEPT)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._entries))

    def note(
        self,
        *,
        at: datetime,
        direction: Direction,
        what: str,
        request_line: str,
        headers: Mapping[str, str],
        request_body: Any,
        status: int | None,
        answer_body: Any,
        took_s: float = 0.0,
        remark: str = "",
    ) -> None:
        """Keep one exchange, masked. `status` is None where no answer came."""
        shown = (
            (name.lower(), mask(value)) for name, value in headers.items() if name.lower() in _SHOWN_HEADERS
        )
        self._entries.appendleft(
            Exchange(
                at=at,
                direction=direction,
                what=what,
                request_line=mask(request_line),
                request_headers=tuple(sorted(shown)),
                request_body=_readable(request_body),
                status=status,
                answer_body=_readable(answer_body),
                took_ms=round(took_s * 1000),
                remark=mask(remark),
            )
        )


def _readable(body: Any) -> str:
    """The body as text that a page can hold; JSON laid out."""
    if body is None or body in (b"", ""):
        return ""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    try:
        value = json.loads(body) if isinstance(body, str) else body
        text = json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):  # not JSON, or nested past all reason: as it came
        text = str(body)
    text = mask(text.encode("utf-8", "replace").decode())
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "\n…"

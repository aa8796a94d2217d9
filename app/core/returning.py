"""The way back to a merchant's page, with the result signed so that it can be checked there. Pure."""

import hashlib
import hmac
from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


def signature_of(*, session_id: str, result: str, timestamp: int, key: str) -> str:
    """Lower-case hex HMAC-SHA256 over `{session}.{result}.{t}` (DESIGN §2.12)."""
    return hmac.new(key.encode(), f"{session_id}.{result}.{timestamp}".encode(), hashlib.sha256).hexdigest()


def signed_return_url(url: str, *, session_id: str, result: str, at: datetime, key: str) -> str:
    """`url` with `result`, `session`, `t` (Unix seconds) and `sig` added to its query; what it had stays."""
    timestamp = int(at.timestamp())
    parts = urlsplit(url)
    ours = {
        "result": result,
        "session": session_id,
        "t": str(timestamp),
        "sig": signature_of(session_id=session_id, result=result, timestamp=timestamp, key=key),
    }
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in ours]
    return urlunsplit(parts._replace(query=urlencode([*kept, *ours.items()])))

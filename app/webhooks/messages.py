"""What is sent to an endpoint: the body of an event, the same at each try, and the headers that sign it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.adapters import standard_webhooks
from app.adapters.http import dump_json
from app.adapters.vault import Vault
from app.core.calendar import iso
from app.core.webhook_envelope import envelope, example_envelope, forgotten
from app.core.webhook_schemas import VERSION
from app.db.tables.events import EventRow
from app.db.tables.webhooks import WebhookEndpoint
from app.webhooks.kinds import Format
from app.webhooks.queries import Owed

COMPATIBLE_HEADER: Final = "ck-signature"
SIGNATURES: Final = frozenset({"webhook-signature", COMPATIBLE_HEADER})


@dataclass(frozen=True, slots=True)
class Message:
    """`headers` are complete; `logged` are those that may be kept."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def logged(self) -> dict[str, str]:
        kept = {name: value for name, value in self.headers.items() if name not in SIGNATURES}
        return {**kept, "content-type": "application/json", "content-length": str(len(self.body))}


def write(owed: Owed, vault: Vault, *, now: datetime, record: Mapping[str, Any] | None = None) -> Message:
    """The message as it is sent now. `record` is the session's, for the compatibility envelope. Raises SealBroken."""
    body = dump_json(payload(owed.endpoint, owed.event, owed.mode, record))
    return Message(body, sign(owed.endpoint, vault, message_id=owed.event.id, body=body, now=now))


def sign(
    endpoint: WebhookEndpoint, vault: Vault, *, message_id: str, body: bytes, now: datetime
) -> dict[str, str]:
    """The headers of Standard Webhooks, with a signature by each secret that is valid, the newest first; and
    `ck-signature`, which has room for one: by the old secret, as long as that is valid."""
    new = vault.open(endpoint.secret_encrypted)
    old = vault.open(endpoint.old_secret_encrypted or "") if has_old_secret(endpoint, now) else None
    headers = standard_webhooks.headers(" ".join(filter(None, (new, old))), message_id, now, body)
    one = old or new
    if one.startswith(standard_webhooks.SECRET_PREFIX):
        headers[COMPATIBLE_HEADER] = standard_webhooks.compatible_signature(one, body)
    return headers


def has_old_secret(endpoint: WebhookEndpoint, now: datetime) -> bool:
    """Whether the secret before this one is still valid."""
    until = endpoint.old_secret_until
    return endpoint.old_secret_encrypted is not None and until is not None and now < until


def needs_record(endpoint: WebhookEndpoint, event: EventRow) -> bool:
    return endpoint.format == Format.COMPATIBLE and event.session_id is not None


def payload(
    endpoint: WebhookEndpoint, event: EventRow, mode: str, record: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the endpoint is told of the event, in its format. `record` is the session's, for the compatible one."""
    if endpoint.format == Format.STANDARD:
        return {
            "id": event.id,
            "type": event.type,
            "timestamp": iso(event.created_at),
            "version": VERSION,
            "appId": event.app_id,
            "mode": mode,
            "sessionId": event.session_id,
            "sequence": event.sequence if event.session_id else None,
            "data": event.data,
        }
    if event.session_id is None:
        return example_envelope(mode=mode, at=event.created_at)
    if not record:
        outcome = event.data.get("outcome")
        return forgotten(session_id=event.session_id, mode=mode, outcome=outcome, at=event.created_at)
    return envelope(record)

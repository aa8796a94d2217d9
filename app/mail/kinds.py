"""The kinds of mail there are, what can become of one, and what a merchant may put into the subject of each. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class MailKind(StrEnum):
    """A kind is a folder of templates/email, and a shape of data (app/mail/letters.py)."""

    CODE = "code"
    NOT_FOUND = "not_found"
    RECEIPT = "receipt"
    PAUSE_REMINDER = "pause_reminder"
    MANUAL_NOTICE = "manual_notice"
    REQUEST_RECEIVED = "request_received"
    CONNECTION_REFUSED = "connection_refused"
    WEBHOOK_DISABLED = "webhook_disabled"
    TEST = "test"


class MailStatus(StrEnum):
    """`refused`: the other side will not have it. `given_up`: nobody took it for three days."""

    PENDING = "pending"
    SENT = "sent"
    REFUSED = "refused"
    GIVEN_UP = "given_up"


# What `{…}` may stand for in a subject of the merchant's own. A mail that has no plan or day gets ours instead.
SUBJECT_FIELDS: Final[Mapping[MailKind, frozenset[str]]] = MappingProxyType(
    {
        MailKind.CODE: frozenset({"brand"}),
        MailKind.NOT_FOUND: frozenset({"brand"}),
        MailKind.RECEIPT: frozenset({"brand", "plan", "day", "reference"}),
        MailKind.PAUSE_REMINDER: frozenset({"brand", "plan", "day", "reference"}),
        MailKind.MANUAL_NOTICE: frozenset({"brand", "reference"}),
        MailKind.REQUEST_RECEIVED: frozenset({"brand", "reference"}),
        MailKind.CONNECTION_REFUSED: frozenset({"brand"}),
        MailKind.WEBHOOK_DISABLED: frozenset({"brand"}),
        MailKind.TEST: frozenset({"brand"}),
    }
)

"""The one door for mail: hands a finished message to the operator's SMTP server. Composes nothing, retries nothing."""

from email.message import EmailMessage
from typing import Protocol, runtime_checkable


class MailRefused(Exception):
    """The server will not have this mail, now or later: the recipient is unknown, or the message is not wanted."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class MailUnavailable(Exception):
    """The mail did not go out, or it is not known whether it did; try again later."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@runtime_checkable
class Mailer(Protocol):
    """Hands mails over, one at a time, at least once.

    `send` returns when the other side has taken responsibility for the mail. If it raises MailUnavailable after the
    message was sent, the mail may have been taken all the same: who tries again keeps the `Message-ID`, by which
    mailboxes know the copy. Reasons are one printable line of at most 300 characters, with no credentials.
    """

    @property
    def sender(self) -> str:
        """The installation's own address, for those who have none."""
        ...

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """Hand one mail to the server, for one recipient; `sender` gets what bounces.

        Raises MailRefused (no use to try again) or MailUnavailable.
        """
        ...

"""A test can talk to a real mail server: any client can, from any thread, and it does as it is told."""

import smtplib
import ssl
import threading

import pytest

from tests.support.smtp import SENDER, Moment, Received, SmtpServer, smtp_server

KIM = "kim@customer.example"
NAME = "test.northwind.example"  # left to itself the library looks this machine up in the network
TEXT = "From: leave@northwind.example\r\nSubject: Bye\r\n\r\nSo long.\r\n"


def connect(server: SmtpServer) -> smtplib.SMTP:
    """With the standard library's client: nothing of ours."""
    trusting = ssl.create_default_context(cafile=server.authority.file)
    if server.tls == "tls":
        return smtplib.SMTP_SSL("127.0.0.1", server.port, NAME, timeout=10, context=trusting)
    client = smtplib.SMTP("127.0.0.1", server.port, NAME, timeout=10)
    if server.tls == "starttls":
        client.starttls(context=trusting)
    return client


@pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
def test_the_mail_server_takes_mail_from_any_client(tls: str) -> None:
    with smtp_server(tls=tls, auth=("kim", "secret")) as server:
        with connect(server) as client:
            with pytest.raises(smtplib.SMTPSenderRefused):
                client.sendmail(SENDER, KIM, TEXT)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("kim", "guess")
            client.login("kim", "secret")
            client.sendmail(SENDER, [KIM, "lee@customer.example"], TEXT)
        first, second = server.wait_for(2)
    assert (first.recipient, second.recipient) == (KIM, "lee@customer.example")
    assert (first.sender, first.user, first.is_encrypted) == (SENDER, "kim", tls != "none")
    assert first.message["subject"] == "Bye"
    assert first.message.get_content().splitlines() == ["So long."]


def test_the_mail_server_refuses_and_puts_off_whom_it_is_told_to() -> None:
    with smtp_server() as server:
        server.refuse(KIM, 550)
        server.greylist(1)
        answers = []
        for recipient in (KIM, KIM, "lee@customer.example"):
            with connect(server) as client:
                client.helo()
                client.mail(SENDER)
                answers.append(client.rcpt(recipient)[0])
        server.behave()
        with connect(server) as client:
            client.sendmail(SENDER, KIM, TEXT)
    assert answers == [451, 550, 250]
    assert [mail.recipient for mail in server.inbox] == [KIM]


def test_somebody_can_step_in_before_and_after_the_server_says_that_it_has_a_mail() -> None:
    """There a process is killed, to see what comes of its mail."""
    steps: list[str] = []
    with smtp_server() as server:

        def before(mail: Received) -> None:
            steps.append(f"accepted {mail.recipient}, {len(server.inbox)} in the box")
            client.sock.shutdown(2)  # type: ignore[union-attr] - it is connected

        def after(mail: Received) -> None:
            steps.append(f"answered {mail.recipient}")
            is_answered.set()

        is_answered = threading.Event()
        server.after_accept(before)
        client = connect(server)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.sendmail(SENDER, KIM, TEXT)
        client.close()
        server.behave()
        server.after_accept(after, answered=True)
        with connect(server) as client:
            client.sendmail(SENDER, "lee@customer.example", TEXT)
        assert is_answered.wait(10)
    assert steps[0] == f"accepted {KIM}, 1 in the box"
    assert steps[-1] == "answered lee@customer.example"
    assert len(server.inbox) == 2


def test_a_test_ends_although_the_mail_server_hangs() -> None:
    with smtp_server() as server:
        server.hang(Moment.EHLO)
        client = connect(server)
        client.putcmd("ehlo", "test")
        server.wait_until_at(Moment.EHLO)
    client.close()

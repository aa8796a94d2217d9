import asyncio
import base64
import logging
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage
from ipaddress import ip_network
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.mail import MAX_REASON, Mailer, MailRefused, MailUnavailable, SmtpMailer
from app.settings import Smtp, SmtpSecurity
from tests.support.authority import new_authority
from tests.support.server import free_port
from tests.support.smtp import SENDER, Moment, SmtpServer, smtp_server

KIM = "kim@customer.example"
LOGIN = ("leave@northwind.example", "p@ss/w:rd %41 ñ")
SHORT_S = 0.25  # long enough for a server that answers, short enough to wait for one that does not
EVERY_TLS = pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
BEFORE_THE_END = pytest.mark.parametrize(
    ("tls", "moment"),
    [("starttls", moment) for moment in Moment if moment not in (Moment.AUTH, Moment.QUIT)]
    + [(tls, moment) for tls in ("none", "tls") for moment in (Moment.CONNECT, Moment.MESSAGE)],
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The loop of the tests, and the one that serves: they differ in how TLS begins and how connections end."""
    return request.param


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    with smtp_server() as server:
        yield server


@pytest.fixture
def told() -> Iterator[list[dict[str, object]]]:
    """What the log was told."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def letter(body: str = "Your code is 123 456.\n") -> EmailMessage:
    message = EmailMessage()
    message["From"] = f"Northwind <{SENDER}>"
    message["To"] = KIM
    message["Subject"] = "Grüße aus Århus"
    message["Message-ID"] = "<mail_1@northwind.example>"
    message.set_content(body)
    return message


async def send(
    smtp: SmtpServer | Smtp, *, recipient: str = KIM, sender: str = SENDER, body: str = "Bye.\n"
) -> None:
    settings = smtp.settings() if isinstance(smtp, SmtpServer) else smtp
    await SmtpMailer(settings).send(letter(body), sender=sender, recipient=recipient)


async def unavailable(smtp: SmtpServer | Smtp) -> MailUnavailable:
    with pytest.raises(MailUnavailable) as caught:
        await send(smtp)
    assert str(caught.value) == caught.value.reason
    return caught.value


async def refused(smtp: SmtpServer, **envelope: str) -> MailRefused:
    with pytest.raises(MailRefused) as caught:
        await send(smtp, **envelope)
    return caught.value


async def left(smtp: SmtpServer) -> None:
    """Every connection is closed. Not waited for on this loop, which has to close them."""
    await asyncio.to_thread(smtp.wait_until_left)


# --- Handed over ----------------------------------------------------------------------------------


@EVERY_TLS
async def test_a_mail_arrives_as_it_was_written(tls: str) -> None:
    message = letter("Ça ira.\n.\n..\nFrom here on: ünïcode, 日本語.\n" + "long " * 400 + "\n")
    message.add_alternative("<p>Ça ira &amp; ünïcode</p>", subtype="html")
    message.add_attachment(
        b'{"a": "\xc3\xa4"}', maintype="application", subtype="json", filename="Beleg ä.json"
    )
    with smtp_server(tls=tls) as smtp:
        await SmtpMailer(smtp.settings()).send(message, sender=SENDER, recipient=KIM)
        (mail,) = smtp.inbox
    assert (mail.sender, mail.recipient, mail.is_encrypted) == (SENDER, KIM, tls != "none")
    assert mail.message["subject"] == "Grüße aus Århus"
    assert mail.message["message-id"] == "<mail_1@northwind.example>"
    for kind in ("plain", "html"):
        part, given = mail.message.get_body((kind,)), message.get_body((kind,))
        assert part is not None
        assert given is not None
        assert part.get_content().splitlines() == given.get_content().splitlines()
    (attachment,) = mail.message.iter_attachments()
    assert attachment.get_filename() == "Beleg ä.json"
    assert attachment.get_content() == b'{"a": "\xc3\xa4"}'
    assert mail.raw.isascii()
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998


async def test_a_mailer_is_one(smtp: SmtpServer) -> None:
    mailer = SmtpMailer(smtp.settings())
    assert isinstance(mailer, Mailer)
    assert mailer.sender == SENDER


async def test_the_server_is_greeted_by_the_senders_domain_and_left_politely(smtp: SmtpServer) -> None:
    await send(smtp)
    assert smtp.greeted_as == ["northwind.example"]
    assert smtp.seen["QUIT"] == 1


async def test_many_mails_go_out_at_once(smtp: SmtpServer) -> None:
    mailer = SmtpMailer(smtp.settings())
    names = [f"customer{number}@customer.example" for number in range(20)]
    await asyncio.gather(*(mailer.send(letter(), sender=SENDER, recipient=name) for name in names))
    assert sorted(mail.recipient for mail in smtp.inbox) == sorted(names)
    await left(smtp)


async def test_an_international_host_is_written_in_ascii(smtp: SmtpServer) -> None:
    await send(smtp, recipient="kim@Bücher.example")
    assert smtp.inbox[0].recipient == "kim@xn--bcher-kva.example"
    assert "SMTPUTF8" not in smtp.inbox[0].options


@pytest.mark.parametrize("header", ["Subject", "From", "To", "Reply-To"])
async def test_no_value_becomes_a_header_or_a_text_of_its_own(smtp: SmtpServer, header: str) -> None:
    for word in (
        "=?utf-8?q?=0D=0ABcc=3A=20all=40customer=2Eexample?=",
        "=?utf-8?q?=0ABcc=3A=20x?=",
        "=?utf-8?b?DQoNCkhlbGxv?=",
    ):
        message = letter()
        del message[header]
        message[header] = (
            f"Ada {word} Ash" if header == "Subject" else Address(word, "kim", "customer.example")
        )
        with pytest.raises(MailRefused, match="breaks out of its header"):
            await SmtpMailer(smtp.settings()).send(message, sender=SENDER, recipient=KIM)
    assert smtp.inbox == []


async def test_an_international_name_is_sent_as_it_is_where_the_server_can(smtp: SmtpServer) -> None:
    await send(smtp, recipient="käthe@customer.example")
    assert smtp.inbox[0].recipient == "käthe@customer.example"
    assert "SMTPUTF8" in smtp.inbox[0].options
    with smtp_server(smtputf8=False) as plain:
        error = await refused(plain, recipient="käthe@customer.example")
    assert error.code == 553
    assert "ASCII" in error.reason


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "kim",
        "kim@customer.example>\r\nRCPT TO:<eve@customer.example",
        "kim@customer.example, eve@customer.example",
        "Kim <kim@customer.example>",
        "kim@customer.example NOTIFY=NEVER",
        "kim\x00@customer.example",
        "kim\udc80@customer.example",
    ],
)
async def test_what_is_no_address_is_refused_before_anybody_is_dialled(
    smtp: SmtpServer, recipient: str
) -> None:
    assert (await refused(smtp, recipient=recipient)).code == 553
    with pytest.raises(MailUnavailable, match="sender"):
        await send(smtp, sender=recipient)
    assert smtp.seen["CONNECT"] == 0


# --- Refused and put off --------------------------------------------------------------------------


async def test_an_unknown_recipient_is_refused_for_good(smtp: SmtpServer) -> None:
    smtp.refuse(KIM)
    error = await refused(smtp)
    assert error.code == 550
    assert error.reason == "The mail server refused the recipient: 550 5.1.1 No such user here"
    assert smtp.seen["QUIT"] == 1
    await send(smtp, recipient="lee@customer.example")
    assert [mail.recipient for mail in smtp.inbox] == ["lee@customer.example"]


async def test_greylisting_puts_off_and_then_takes(smtp: SmtpServer) -> None:
    smtp.greylist(1)
    error = await unavailable(smtp)
    assert error.reason == "The mail server put the mail off: 451 4.7.1 Greylisted, please try again later"
    assert not error.needs_operator
    await send(smtp)
    assert len(smtp.inbox) == 1


@pytest.mark.parametrize(
    ("moment", "reply"),
    [
        (Moment.RCPT, "550 unknown"),
        (Moment.RCPT, "551 5.1.6 moved"),
        (Moment.RCPT, "553 5.1.3 bad syntax"),
        (Moment.RCPT, "501 5.1.3 bad recipient address syntax"),
        (Moment.RCPT, "550 5.4.1 Recipient address rejected: Access denied"),  # a large provider's "unknown"
        (Moment.RCPT, "556 5.1.10 the domain takes no mail"),
        (Moment.DATA, "554 no valid recipients"),
        (Moment.MESSAGE, "554 5.7.1 looks like spam"),
        (Moment.MESSAGE, "552 5.3.4 too large"),
        (Moment.MESSAGE, "550-5.7.26 unsigned,\r\n550 5.7.26 as far as we can see"),
    ],
)
async def test_what_is_about_this_mail_is_refused(smtp: SmtpServer, moment: Moment, reply: str) -> None:
    smtp.answer(moment, reply)
    error = await refused(smtp)
    assert error.code == int(reply[:3])
    assert reply[:3] in error.reason


@pytest.mark.parametrize(
    ("moment", "reply"),
    [
        (Moment.CONNECT, "554 5.7.1 your network is on a list"),
        (Moment.EHLO, "550 no"),
        (Moment.MAIL, "553 5.7.1 sender rejected: not owned by user"),
        (Moment.MAIL, "530 5.7.0 authentication required"),
        (Moment.RCPT, "554 5.7.1 <kim@customer.example>: Relay access denied"),
        (Moment.RCPT, "550 5.7.54 unable to relay"),
        (Moment.RCPT, "553 5.1.8 sender's domain not found"),
        (Moment.RCPT, "554 no"),
        (Moment.RCPT, "530 authentication required"),
        (Moment.RCPT, "503 5.5.1 need MAIL before RCPT"),
    ],
)
async def test_what_the_operator_can_mend_waits_and_is_logged(
    smtp: SmtpServer, told: list[dict[str, object]], moment: Moment, reply: str
) -> None:
    smtp.answer(moment, reply)
    error = await unavailable(smtp)
    assert error.needs_operator
    assert error.reason.endswith(reply)
    (line,) = told
    assert (line["log_level"], line["code"]) == ("error", int(reply[:3]))
    assert KIM not in repr(line)


@pytest.mark.parametrize(
    ("moment", "reply"),
    [
        (Moment.CONNECT, "421 4.3.2 too many connections"),
        (Moment.EHLO, "421 shutting down"),
        (Moment.MAIL, "451 4.3.0 busy"),
        (Moment.RCPT, "452 4.2.2 mailbox full"),
        (Moment.RCPT, "552 5.2.2 mailbox full"),
        (Moment.RCPT, "550 5.4.5 daily sending limit exceeded"),
        (Moment.DATA, "421 4.7.0 too fast"),
        (Moment.MESSAGE, "451 4.3.0 disk full"),
        (Moment.MESSAGE, "550 5.4.5 daily sending limit exceeded"),
    ],
)
async def test_what_passes_is_put_off(
    smtp: SmtpServer, told: list[dict[str, object]], moment: Moment, reply: str
) -> None:
    smtp.answer(moment, reply)
    error = await unavailable(smtp)
    assert not error.needs_operator
    assert error.reason == f"The mail server put the mail off: {reply}"
    assert told == []


async def test_what_a_server_says_is_bounded_and_printable(smtp: SmtpServer) -> None:
    rude = b"".join(b"550-\x1b[31m \xff\xfe\x00 " + b"so long " * 50 + b"\r\n" for _ in range(20))
    smtp.babble(Moment.RCPT, rude + b"550 \x07\r\n")
    reason = (await refused(smtp)).reason
    assert len(reason) == MAX_REASON
    assert reason.isprintable()
    reason.encode()


# --- Login ----------------------------------------------------------------------------------------


@EVERY_TLS
async def test_a_login_with_every_kind_of_character(tls: str) -> None:
    with smtp_server(tls=tls, auth=LOGIN) as smtp:
        await send(smtp)
    assert smtp.inbox[0].user == LOGIN[0]


@EVERY_TLS
async def test_a_wrong_password_is_for_the_operator_and_never_told(
    tls: str, told: list[dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    with smtp_server(tls=tls, auth=LOGIN) as smtp:
        wrong = replace(smtp.settings(), password="hunter2hunter2")
        error = await unavailable(wrong)
        assert error.needs_operator
        assert error.reason == "The mail server refused the user or the password."
        blob = base64.b64encode(f"\0{LOGIN[0]}\0hunter2hunter2".encode()).decode()
        smtp.answer(Moment.AUTH, f"535 5.7.8 what is AUTH PLAIN {blob}, hunter2hunter2?")
        error = await unavailable(wrong)
    assert smtp.inbox == []
    said = [error.reason, repr(error), repr(told), repr(wrong)]
    assert not [text for text in said if "hunter2" in text or blob in text]
    caplog.set_level(logging.DEBUG)
    assert "hunter2" not in caplog.text


async def test_a_login_that_is_put_off_is_tried_again() -> None:
    with smtp_server(auth=LOGIN) as smtp:
        smtp.answer(Moment.AUTH, "454 4.7.0 directory down")
        error = await unavailable(smtp)
    assert not error.needs_operator
    assert error.reason == "The mail server put the login off (454)."


@pytest.mark.parametrize("offer", ["AUTH XOAUTH2 GSSAPI", "SIZE 1000"])
async def test_a_server_without_a_login_that_we_know(offer: str) -> None:
    with smtp_server(auth=LOGIN) as smtp:
        smtp.babble(Moment.EHLO, f"250-mail.example\r\n250 {offer}\r\n".encode())
        error = await unavailable(smtp)
    assert error.needs_operator
    assert "offers no login" in error.reason
    assert smtp.seen["AUTH"] == 0


# --- Encryption -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_of_somebody_elses_authority_is_refused(
    tls: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = new_authority(tmp_path_factory.mktemp("other"))
    with smtp_server(tls=tls, auth=LOGIN) as smtp:
        for ca in (str(other.file), ""):
            error = await unavailable(smtp.settings(ca=ca))
            assert error.needs_operator
            assert "certificate is not trusted" in error.reason
        await left(smtp)
    assert (smtp.seen["AUTH"], smtp.inbox) == (0, [])


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_for_another_name_is_refused(tls: str) -> None:
    with smtp_server(tls=tls, auth=LOGIN, names=("mail.elsewhere.example",)) as smtp:
        error = await unavailable(smtp)
    assert "certificate is not trusted: IP address mismatch" in error.reason
    assert (smtp.seen["AUTH"], smtp.inbox) == (0, [])


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_the_host_is_known_by_its_name(tls: str) -> None:
    with smtp_server(tls=tls, names=("localhost",)) as smtp:
        await send(replace(smtp.settings(), host="localhost"))
        assert len(smtp.inbox) == 1


async def test_an_authority_that_went_missing_is_for_the_operator(tmp_path: Path) -> None:
    with smtp_server(tls="tls") as smtp:
        error = await unavailable(replace(smtp.settings(), ca_file=tmp_path / "gone.pem"))
    assert error.needs_operator
    assert "certificate authorities cannot be read" in error.reason
    assert smtp.seen["CONNECT"] == 0


async def test_without_starttls_nothing_is_sent() -> None:
    """Somebody between us and the server can take the offer out of its answer."""
    with smtp_server(auth=LOGIN) as smtp:
        error = await unavailable(smtp.settings(tls=""))
    assert error.needs_operator
    assert error.reason == "The mail server does not offer STARTTLS, and nothing is sent unencrypted."
    assert (smtp.seen["AUTH"], smtp.seen["MAIL"], smtp.inbox) == (0, 0, [])


@pytest.mark.parametrize(
    "reply", [b"454 4.7.0 not now\r\n", b"502 what?\r\n", b"220 go\r\n250-hi\r\n250 AUTH PLAIN\r\n"]
)
async def test_starttls_that_comes_to_nothing_sends_nothing(reply: bytes) -> None:
    with smtp_server(tls="starttls", auth=LOGIN) as smtp:
        smtp.babble(Moment.STARTTLS, reply)
        await unavailable(replace(smtp.settings(), timeout_s=SHORT_S))
        await left(smtp)
    assert (smtp.seen["AUTH"], smtp.seen["MAIL"], smtp.inbox) == (0, 0, [])


async def test_tls_with_a_server_that_speaks_plainly_fails(smtp: SmtpServer) -> None:
    error = await unavailable(replace(smtp.settings(), security=SmtpSecurity.TLS))
    assert error.reason.startswith("No secure connection to the mail server could be made: ")
    assert smtp.inbox == []


@pytest.mark.parametrize("networks", [(), (ip_network("10.0.0.0/8"),)])
async def test_unencrypted_nobody_is_dialled_but_who_is_allowed(networks: tuple[object, ...]) -> None:
    """The network is closed to the tests, so a connection would fail differently."""
    smtp = Smtp(host="192.0.2.7", port=25, sender=SENDER, security=SmtpSecurity.NONE, plain_networks=networks)
    error = await unavailable(smtp)
    assert error.needs_operator
    assert "LEAVEWELL_ALLOWED_NETWORKS" in error.reason


# --- Servers that do not answer -------------------------------------------------------------------


@BEFORE_THE_END
async def test_a_server_that_hangs_is_left_at_the_deadline(tls: str, moment: Moment) -> None:
    with smtp_server(tls=tls) as smtp:
        smtp.hang(moment)
        began = time.monotonic()
        error = await unavailable(replace(smtp.settings(), timeout_s=SHORT_S))
        assert time.monotonic() - began < 5
        assert error.reason == "The mail server did not answer within 0.25 s."
        await left(smtp)


@EVERY_TLS
async def test_a_server_that_answers_a_byte_at_a_time_is_left_at_the_deadline(tls: str) -> None:
    with smtp_server(tls=tls) as smtp:
        smtp.drip(Moment.MAIL)
        error = await unavailable(replace(smtp.settings(), timeout_s=SHORT_S))
        assert "did not answer within" in error.reason
        await left(smtp)


@BEFORE_THE_END
async def test_a_server_that_closes_in_the_middle(tls: str, moment: Moment) -> None:
    with smtp_server(tls=tls) as smtp:
        smtp.close_in_the_middle(moment)
        assert (await unavailable(smtp)).reason == "The mail server broke the connection off."


@EVERY_TLS
async def test_what_comes_after_the_mail_was_taken_changes_nothing(tls: str) -> None:
    with smtp_server(tls=tls) as smtp:
        smtp.close_in_the_middle(Moment.QUIT)
        await send(smtp)
        smtp.answer(Moment.QUIT, "554 no")
        await send(smtp)
        assert len(smtp.inbox) == 2
        await left(smtp)


async def test_a_server_that_hangs_once_it_has_the_mail_is_left() -> None:
    with smtp_server(tls="starttls") as smtp:
        smtp.hang(Moment.QUIT)
        await send(replace(smtp.settings(), timeout_s=SHORT_S))
        assert len(smtp.inbox) == 1
        await left(smtp)


@EVERY_TLS
async def test_a_mail_that_is_given_up_lets_go_of_its_connection(tls: str) -> None:
    with smtp_server(tls=tls) as smtp:
        smtp.hang(Moment.MESSAGE)
        sending = asyncio.create_task(send(smtp, body="much " * 500_000))
        await asyncio.to_thread(smtp.wait_until_at, Moment.MESSAGE)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await left(smtp)


async def test_nobody_listens() -> None:
    smtp = Smtp(host="127.0.0.1", port=free_port(), sender=SENDER)
    assert (await unavailable(smtp)).reason == "The mail server refused the connection."


@pytest.mark.parametrize("host", [f"{'x' * 64}.example", "::1%nowhere"])
async def test_a_host_that_is_not_found(host: str) -> None:
    error = await unavailable(Smtp(host=host, port=25, sender=SENDER))
    assert error.reason == "The mail server's host name was not found."


# --- Servers that talk nonsense -------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment", [moment for moment in Moment if moment not in (Moment.STARTTLS, Moment.QUIT)]
)
@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xfe\x00\r\n", b"999 what\r\n", b"\r\n"]
)
async def test_an_answer_that_is_not_smtp(moment: Moment, raw: bytes) -> None:
    with smtp_server(auth=LOGIN) as smtp:
        smtp.babble(moment, raw)
        error = await unavailable(replace(smtp.settings(), timeout_s=SHORT_S))
    assert error.reason == "The mail server gave an answer that is not SMTP."
    assert smtp.inbox == []


@pytest.mark.parametrize("moment", [Moment.CONNECT, Moment.EHLO, Moment.RCPT, Moment.MESSAGE])
@pytest.mark.parametrize(
    "raw", [b"2" * 8192, b"250-more\r\n" * 800, b"250 " + b"x" * 8192], ids=["2", "lines", "line"]
)
async def test_an_answer_without_end_takes_little_memory(
    smtp: SmtpServer, moment: Moment, raw: bytes
) -> None:
    smtp.babble(moment, raw, forever=True)
    mailer = SmtpMailer(smtp.settings())
    tracemalloc.start()
    try:
        with pytest.raises(MailUnavailable):
            await mailer.send(letter(), sender=SENDER, recipient=KIM)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * 1024 * 1024
    await left(smtp)


@settings(max_examples=25)
@given(
    st.sampled_from([Moment.CONNECT, Moment.EHLO, Moment.MAIL, Moment.RCPT, Moment.DATA, Moment.MESSAGE]),
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda code, mark, text: f"{code}{mark}{text}".encode(),
            st.integers(-1, 1000),
            st.sampled_from([" ", "-", ""]),
            st.text(st.characters(codec="utf-8"), max_size=50),
        ),
    ),
)
def test_whatever_a_server_says_comes_to_one_of_two_errors(moment: Moment, raw: bytes) -> None:
    with smtp_server() as smtp:
        smtp.babble(moment, raw + b"\r\n")
        reason = asyncio.run(outcome(replace(smtp.settings(), timeout_s=SHORT_S)))
    assert len(reason) <= MAX_REASON
    assert reason.isprintable()


async def outcome(smtp: Smtp) -> str:
    try:
        await send(smtp)
    except (MailRefused, MailUnavailable) as error:
        return error.reason
    return ""

"""setup: how an environment reaches the merchant, and how its pages look. One command a subject, each repeatable."""

from datetime import timedelta

import click

from app.accounts import service as accounts
from app.adapters.billing.registry import PROVIDERS
from app.adapters.clock import SystemClock
from app.adapters.http import OutboundHttp
from app.adapters.standard_webhooks import new_secret
from app.cli.connections import account_line, ask_billing, trouble, webhook_address
from app.cli.console import Workshop, assignments, pairs, read_text, remark, say, span, workshop
from app.mail.kinds import SUBJECT_FIELDS, MailKind
from app.setup import afterwards, connecting, service
from app.setup.service import Description
from app.web.theme import FIELDS, FONTS, SCHEMES


@click.group()
def setup() -> None:
    """How an environment is set up. APP_ID says which: app_… live, app_test_… test."""


@setup.command()
@click.argument("app_id")
def show(app_id: str) -> None:
    """Everything that is set, and what is still to do."""
    with workshop() as at:
        found = _describe(at, app_id)
    one = found.environment
    data = [
        one.customer_data_url,
        "signed by a secret of its own" if found.has_customer_data_secret else None,
    ]
    pairs(
        [
            ("organization", f"{found.organization.name} ({found.organization.slug})"),
            ("App ID", f"{one.app_id} ({one.mode})"),
            ("active keys", found.active_keys),
            ("flow", found.flow),
            ("provider", one.provider),
            *((f"  {name}", value) for name, value in found.provider_config.items()),
            *((f"  {name}", value) for name, value in trouble(found.connection, at.now)),
            ("customer data", [part for part in data if part]),
            ("  time-out", f"{one.customer_data_timeout_ms} ms"),
            ("return URL", one.return_url),
            ("  origins", one.return_origins),
            ("contact", [part for part in (one.contact_email, one.contact_url) if part]),
            ("exit policy", one.exit_policy),
            ("locale", one.locale),
            ("theme", [f"{name}={value}" for name, value in one.theme.items()]),
            ("time zone", one.time_zone or "UTC"),
            *_hosted(at, found),
            *_mail(at, found),
            ("Slack", "is told of each session (its URL is not shown)" if one.slack_url_encrypted else None),
            (
                "personal data",
                f"kept for {one.retention_days} days" if one.retention_days else "kept for ever",
            ),
        ]
    )
    if found.todo:
        say()
        say("Still to do:")
        for hint in found.todo:
            say(f"  {hint}")


def _describe(at: Workshop, app_id: str) -> Description:
    return at.database.read_sync(
        service.describe,
        at.vault,
        app_id=app_id,
        http=OutboundHttp(()),
        clock=SystemClock(),
        has_mailer=at.settings.smtp is not None,
    )


def _hosted(at: Workshop, found: Description) -> list[tuple[str, object]]:
    one = found.environment
    if not one.hosted_enabled:
        by_email = "off: it says how to reach you, and takes requests"
    elif at.settings.smtp is None or not found.finds_by_email:
        by_email = "not possible yet: it takes requests"
    else:
        by_email = "on"
    return [
        ("public entry", _entry(at, one.app_id)),
        ("  by email", by_email),
        ("  codes live", f"{one.code_life_s // 60} min"),
        ("  links live", f"{_life(one.link_life_s)}, those made by hand"),
    ]


def _mail(at: Workshop, found: Description) -> list[tuple[str, object]]:
    one, smtp = found.environment, at.settings.smtp
    name = one.sender_name or found.organization.name
    address = one.sender_address or (smtp.sender if smtp else "no address yet")
    days = one.pause_reminder_days
    return [
        ("mail server", f"{smtp.host}:{smtp.port}" if smtp else None),
        ("  sender", f"{name} <{address}>"),
        *((f"  subject {kind}", text) for kind, text in sorted((one.mail_subjects or {}).items())),
        ("  pause reminder", f"{days} days before a pause ends" if days else "none"),
    ]


def _entry(at: Workshop, app_id: str) -> str:
    return f"{at.settings.base_url}/cancel/{app_id}"


def _life(seconds: int) -> str:
    hours, rest = divmod(seconds, 3_600)
    return f"{seconds // 60} min" if rest else f"{hours} h"


@setup.command()
@click.argument("app_id")
@click.argument("provider")
@click.argument("fields", nargs=-1)
@click.option("--no-check", is_flag=True, help="Save it without asking the billing system who it is.")
@click.option("--other-account", is_flag=True, help="It is meant to be another account than so far.")
def provider(
    app_id: str, provider: str, fields: tuple[str, ...], no_check: bool, other_account: bool
) -> None:
    """Connect billing: PROVIDER name=value …

    A value that begins with @ is read from that file. `leavewell setup providers` lists the fields of each. Of a
    billing system that is connected already only what is given changes, and name= takes it away. It is asked who it
    is first; what is saved stays in force if that goes wrong.
    """
    given = assignments(fields)
    with workshop() as at:
        account = ask_billing(
            at,
            lambda ports: connecting.connect_provider(
                ports,
                app_id=app_id,
                provider=provider,
                given=given,
                is_asked=not no_check,
                accepts_other_account=other_account,
            ),
        )
        found = _describe(at, app_id)
    if account is not None:
        say(account_line(account.id, account.name, account.mode))
    if PROVIDERS[provider].has_inbound:
        remark(f"Its webhooks go to {webhook_address(at, provider, app_id)}")
    for hint in found.todo:
        if "webhooks" in hint:
            remark(hint)
    _done(app_id)


@setup.command()
def providers() -> None:
    """The billing systems that can be connected, and what each asks for."""
    for kind in PROVIDERS.values():
        say(f"{kind.name}: {kind.label}")
        pairs(
            [
                (field.name, f"{field.hint}{'' if field.is_required else ' (optional)'}")
                for field in kind.credential_fields
            ],
            indent="  ",
        )


@setup.command("customer-data")
@click.argument("app_id")
@click.argument("url", required=False)
@click.option("--secret", help="Signs each request (Standard Webhooks): whsec_…")
@click.option(
    "--new-secret", "makes_secret", is_flag=True, help="Make such a secret and print it, this once."
)
@click.option("--timeout-ms", type=int, help="How long to wait for an answer: 200 to 5000. At first 1500.")
@click.option("--off", is_flag=True, help="Ask nobody.")
def customer_data(
    app_id: str, url: str | None, secret: str | None, makes_secret: bool, timeout_ms: int | None, off: bool
) -> None:
    """Where a customer's attributes are asked for, when a session begins."""
    if off is (url is not None):
        raise click.UsageError("Give a URL, or --off.")
    if makes_secret and secret:
        raise click.UsageError("Give --secret or --new-secret, not both.")
    secret = new_secret() if makes_secret else secret
    with workshop() as at:
        at.database.write_sync(
            service.set_customer_data,
            at.vault,
            app_id=app_id,
            url=url,
            secret=secret,
            timeout_ms=timeout_ms,
            allowed=at.settings.allowed_networks,
        )
    if makes_secret and secret:
        say(secret)
    _done(app_id)


@setup.command("return-url")
@click.argument("app_id")
@click.argument("url", required=False)
@click.option(
    "--origin", "origins", multiple=True, help="One more origin that links may return to. Repeatable."
)
@click.option("--off", is_flag=True, help="No way back, and no origins.")
def return_url(app_id: str, url: str | None, origins: tuple[str, ...], off: bool) -> None:
    """Where customers go afterwards. The list of origins becomes the URL's own and those given."""
    if off is (url is not None):
        raise click.UsageError("Give a URL, or --off.")
    with workshop() as at:
        found = at.database.write_sync(
            service.set_return_url,
            app_id=app_id,
            url=url,
            origins=origins,
            allowed=at.settings.allowed_networks,
        )
    _done(app_id, f"Links may return to: {', '.join(found.return_origins) or 'nowhere'}.")


@setup.command()
@click.argument("app_id")
@click.option("--email", help='An address; "" takes it away.')
@click.option("--url", help='A page; "" takes it away.')
def contact(app_id: str, email: str | None, url: str | None) -> None:
    """Whom customers can ask."""
    if email is None and url is None:
        raise click.UsageError("Give --email, --url or both.")
    with workshop() as at:
        before = at.database.read_sync(accounts.get_environment, app_id)
        at.database.write_sync(
            service.set_contact,
            app_id=app_id,
            email=_changed(before.contact_email, email),
            url=_changed(before.contact_url, url),
            allowed=at.settings.allowed_networks,
        )
    _done(app_id)


@setup.command(
    help=f"How the hosted page looks: {', '.join(f'{name}=…' for name in FIELDS)}; only what is given "
    f"changes, and name= takes it back. Fonts: {', '.join(FONTS)}. Schemes: {', '.join(SCHEMES)}."
)
@click.argument("app_id")
@click.argument("fields", nargs=-1, required=True)
def theme(app_id: str, fields: tuple[str, ...]) -> None:
    given = assignments(fields)
    with workshop() as at:
        before = at.database.read_sync(accounts.get_environment, app_id)
        merged = {**before.theme, **{name: _number(value) for name, value in given.items()}}
        at.database.write_sync(
            service.set_theme,
            app_id=app_id,
            theme={name: value for name, value in merged.items() if value != ""},
        )
    _done(app_id)


@setup.command("exit-policy")
@click.argument("app_id")
@click.argument("policy")
def exit_policy(app_id: str, policy: str) -> None:
    """When *Cancel now* is on every step: `always`, or `regulated` (where the law asks for it)."""
    with workshop() as at:
        at.database.write_sync(service.set_exit_policy, app_id=app_id, policy=policy)
    _done(app_id)


@setup.command()
@click.argument("app_id")
@click.argument("tag")
def locale(app_id: str, tag: str) -> None:
    """The language of who asks for none: en, de-AT."""
    with workshop() as at:
        at.database.write_sync(service.set_locale, app_id=app_id, locale=tag)
    _done(app_id)


@setup.command("time-zone")
@click.argument("app_id")
@click.argument("zone", required=False)
@click.option("--off", is_flag=True, help="Times in UTC, where nothing is known of the customer's.")
def time_zone(app_id: str, zone: str | None, off: bool) -> None:
    """The clocks of receipts and reminders, where a customer's own are not known: Europe/Berlin."""
    if off is (zone is not None):
        raise click.UsageError("Give a time zone, or --off.")
    with workshop() as at:
        at.database.write_sync(service.set_time_zone, app_id=app_id, zone=zone)
    _done(app_id)


# --- The public entry and mail ---------------------------------------------------------------------------------------


@setup.command()
@click.argument("app_id")
@click.option("--on/--off", "is_on", default=None, help="Off: the page only says how to reach you.")
@click.option("--link-life", help="How long links live that are made by hand: 1h to 7d. At first 24h.")
@click.option("--code-life", type=int, help="How many minutes a mailed code works: 5 to 15. At first 10.")
def hosted(app_id: str, is_on: bool | None, link_life: str | None, code_life: int | None) -> None:
    """The public address, where customers prove by a mailed code who they are."""
    if is_on is None and link_life is None and code_life is None:
        raise click.UsageError("Give --on or --off, --link-life or --code-life.")
    with workshop() as at:
        at.database.write_sync(
            service.set_hosted,
            app_id=app_id,
            is_on=is_on,
            link_life=span("link_life", link_life) if link_life is not None else None,
            code_life=_minutes(code_life),
        )
    _done(app_id, f"Its address is {_entry(at, app_id)}.")


@setup.command()
@click.argument("app_id")
@click.option("--name", help='Who customers see; "" takes it away: then it is the organization.')
@click.option("--address", help='An address; "" takes it away: then it is that of SMTP_URL.')
@click.option("--off", is_flag=True, help="Take both away.")
def sender(app_id: str, name: str | None, address: str | None, off: bool) -> None:
    """Who mails are from. The domain of the address must let your mail server send for it (SPF, DKIM, DMARC)."""
    if off is (name is not None or address is not None):
        raise click.UsageError("Give --name, --address or both; or --off.")
    with workshop() as at:
        before = at.database.read_sync(accounts.get_environment, app_id)
        at.database.write_sync(
            service.set_sender,
            app_id=app_id,
            name=None if off else _changed(before.sender_name, name),
            address=None if off else _changed(before.sender_address, address),
        )
    _done(app_id, f"`leavewell mail test {app_id} TO` tries it out.")


@setup.command(
    epilog="What each kind knows: "
    + "; ".join(
        f"{kind} {' '.join(f'{{{name}}}' for name in sorted(SUBJECT_FIELDS[kind]))}" for kind in MailKind
    )
    + "."
)
@click.argument("app_id")
@click.argument("kind")
@click.argument("text", required=False)
@click.option("--default", "is_default", is_flag=True, help="Take our words again.")
def subject(app_id: str, kind: str, text: str | None, is_default: bool) -> None:
    """The subject of one KIND of mail, such as `Your receipt {reference}`.

    A mail that has no value for one of its braces gets our words instead.
    """
    if is_default is (text is not None):
        raise click.UsageError("Give a text, or --default.")
    with workshop() as at:
        at.database.write_sync(service.set_subject, app_id=app_id, kind=kind, text=text)
    _done(app_id)


@setup.command("pause-reminder")
@click.argument("app_id")
@click.argument("days", type=int)
def pause_reminder(app_id: str, days: int) -> None:
    """How many DAYS before a pause ends customers are reminded: 0 to 14, at first 3. 0 reminds nobody."""
    with workshop() as at:
        at.database.write_sync(service.set_pause_reminder, app_id=app_id, days=days)
    _done(
        app_id, "It holds for pauses that begin from now on." if days else "Nobody is reminded from now on."
    )


@setup.command()
@click.argument("app_id")
@click.argument("days", type=int)
def retention(app_id: str, days: int) -> None:
    """After how many DAYS personal data of what is finished is forgotten: 7 to 3650, at first 400. 0: never.

    Counts and outcomes stay. What waits for its end stays until then: a paid period that can be taken up again, a
    request that nobody has closed, an event that a webhook has yet to be told.
    """
    with workshop() as at:
        before = at.database.read_sync(accounts.get_environment, app_id).retention_days
        at.database.write_sync(afterwards.set_retention, app_id=app_id, days=days)
    is_shorter = 0 < days < (before or days + 1)
    _done(app_id, "What is older begins to go within the hour, and goes for good." if is_shorter else "")


@setup.command()
@click.argument("app_id")
@click.argument("url")
def slack(app_id: str, url: str) -> None:
    """Tell Slack of each session that is over. URL is an incoming webhook of yours, `-` reads it from the pipe, and
    `off` tells nobody any more.

    Whoever has that URL can post: it is kept encrypted, and shown nowhere.
    """
    given = read_text("-").strip() if url == "-" else url
    with workshop() as at:
        at.database.write_sync(
            afterwards.set_slack,
            at.vault,
            app_id=app_id,
            url=None if given == "off" else given,
            allowed=at.settings.allowed_networks,
        )
    _done(app_id, "" if given == "off" else f"`leavewell slack test {app_id}` tries it out.")


def _minutes(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(minutes=min(max(count, 0), 1_000))


def _changed(before: str | None, given: str | None) -> str | None:
    return before if given is None else given or None


def _number(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else text


def _done(app_id: str, more: str = "") -> None:
    remark(f"Set. {more} `leavewell setup show {app_id}` shows everything.".replace("  ", " "))

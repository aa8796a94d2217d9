"""setup: how an environment reaches the merchant, and how its pages look. One command a subject, each repeatable."""

import click

from app.adapters.billing.registry import PROVIDERS
from app.adapters.standard_webhooks import new_secret
from app.cli.console import assignments, pairs, remark, say, workshop
from app.setup import service
from app.web.theme import FIELDS, FONTS, SCHEMES


@click.group()
def setup() -> None:
    """How an environment is set up. APP_ID says which: app_… live, app_test_… test."""


@setup.command()
@click.argument("app_id")
def show(app_id: str) -> None:
    """Everything that is set, and what is still to do."""
    with workshop() as at:
        found = at.database.read_sync(service.describe, at.vault, app_id=app_id)
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
            ("customer data", [part for part in data if part]),
            ("  time-out", f"{one.customer_data_timeout_ms} ms"),
            ("return URL", one.return_url),
            ("  origins", one.return_origins),
            ("contact", [part for part in (one.contact_email, one.contact_url) if part]),
            ("exit policy", one.exit_policy),
            ("locale", one.locale),
            ("theme", [f"{name}={value}" for name, value in one.theme.items()]),
        ]
    )
    if found.todo:
        say()
        say("Still to do:")
        for hint in found.todo:
            say(f"  {hint}")


@setup.command()
@click.argument("app_id")
@click.argument("provider")
@click.argument("fields", nargs=-1)
def provider(app_id: str, provider: str, fields: tuple[str, ...]) -> None:
    """Connect billing: PROVIDER name=value …

    A value that begins with @ is read from that file. `leavewell setup providers` lists the fields of each.
    """
    with workshop() as at:
        at.database.write_sync(
            service.set_provider,
            at.vault,
            app_id=app_id,
            provider=provider,
            config=assignments(fields),
            allowed=at.settings.allowed_networks,
            now=at.now,
        )
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
        before = at.database.read_sync(service.describe, at.vault, app_id=app_id).environment
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
        before = at.database.read_sync(service.describe, at.vault, app_id=app_id).environment
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


def _changed(before: str | None, given: str | None) -> str | None:
    return before if given is None else given or None


def _number(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else text


def _done(app_id: str, more: str = "") -> None:
    remark(f"Set. {more} `leavewell setup show {app_id}` shows everything.".replace("  ", " "))

"""Creates organizations and sets their environments up. Every setter checks what it is given, names the field that is
wrong, and can be repeated: setting what is set changes nothing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from sqlmodel import Session

from app.accounts import queries as accounts_queries
from app.accounts import service as accounts
from app.adapters.billing import registry
from app.adapters.billing.connection import CredentialField
from app.adapters.billing.registry import PROVIDERS
from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.standard_webhooks import BadSecret, check_secrets
from app.adapters.vault import Vault
from app.connections import inbound
from app.connections import queries as connection_queries
from app.connections import service as connections
from app.core.billing import Capability
from app.core.errors import FieldError, InvalidInput
from app.db.tables.accounts import Environment, Organization
from app.db.tables.connections import Connection
from app.flows import queries as flows_queries
from app.flows import service as flows
from app.flows.starter import starter_flow
from app.links.forms import LOCALE
from app.links.origins import origin_of
from app.mail.composing import LONGEST_NAME
from app.mail.kinds import MailKind
from app.mail.subjects import subject_problem
from app.mail.typeset import one_line
from app.sessions.proof import known_zone
from app.settings import Network
from app.setup.addresses import browser_problem, email_problem, normal_origins, outbound_problem
from app.web.theme import parse_theme

ExitPolicy = Literal["always", "regulated"]

EXIT_POLICIES: Final[tuple[str, ...]] = get_args(ExitPolicy)
TIMEOUT_MS: Final = range(200, 5001)
LINK_LIFE: Final = (timedelta(hours=1), timedelta(days=7))
CODE_LIFE: Final = (timedelta(minutes=5), timedelta(minutes=15))
PAUSE_REMINDER_DAYS: Final = range(15)
MAX_NAME: Final = 100
HIDDEN: Final = "(set, not shown)"
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Description:
    """How an environment is set up. Secrets are not in it; `todo` says what still keeps it from serving customers.

    `connection` says how billing fares, None before it was connected.
    """

    organization: Organization
    environment: Environment
    provider_config: Mapping[str, str]
    has_customer_data_secret: bool
    active_keys: int
    flow: str | None
    finds_by_email: bool
    connection: Connection | None
    todo: tuple[str, ...]


# --- Organizations ----------------------------------------------------------------------------------------------------


def create_organization(db: Session, *, name: str, slug: str | None = None, now: datetime) -> Organization:
    """An organization with both environments and the starter flow published; still without keys and connections.

    Without a slug, one is made of the name. Raises InvalidInput, OrganizationExists.
    """
    name = name.strip()
    problems = []
    if not name or len(name) > MAX_NAME or not name.isprintable():
        problems.append(FieldError("name", f"Must be 1 to {MAX_NAME} characters on one line."))
    slug = slug or _slug_of(name)
    if not problems and not _SLUG.fullmatch(slug):
        problems.append(
            FieldError("slug", "Must be 1 to 40 lower-case letters, digits and hyphens, such as acme-notes.")
        )
    if problems:
        raise InvalidInput(fields=problems)
    organization = accounts.create_organization(db, name=name, slug=slug, now=now)
    flows.publish(
        db,
        organization_id=organization.id,
        definition=starter_flow(),
        capabilities=frozenset(
            Capability
        ),  # it makes no offers, and everybody can cancel at the period's end
        now=now,
        note="starter",
    )
    return organization


def ensure_key(db: Session, vault: Vault, *, app_id: str, now: datetime) -> str:
    """The environment's oldest key that still works; a first one where there is none."""
    try:
        return accounts.signing_key(db, vault, app_id=app_id, minted_with=None)
    except accounts.NoActiveKey:
        return accounts.create_key(db, vault, app_id=app_id, now=now).secret


def describe(
    db: Session, vault: Vault, *, app_id: str, http: OutboundHttp, clock: Clock, has_mailer: bool
) -> Description:
    """Asks nobody; `has_mailer`: whether mail leaves this installation. Raises EnvironmentNotFound."""
    environment = accounts.get_environment(db, app_id)
    organization = db.get_one(Organization, environment.organization_id)
    published = flows_queries.find_published(db, organization.id)
    kind = PROVIDERS.get(environment.provider)
    secrets = {field.name for field in kind.credential_fields if field.is_secret} if kind else set()
    config = connections.config_of(environment, vault)
    active = [key for key in accounts_queries.list_keys(db, app_id) if key.revoked_at is None]
    finds_by_email = _finds_by_email(environment, vault=vault, http=http, clock=clock)
    connection = connection_queries.find(db, app_id) if config else None
    unproven = inbound.missing_secrets(environment.provider, config)
    return Description(
        organization=organization,
        environment=environment,
        provider_config={name: HIDDEN if name in secrets else value for name, value in config.items()},
        has_customer_data_secret=environment.customer_data_secret is not None,
        active_keys=len(active),
        flow=f"version {published.number}, {published.definition.get('name', '')}" if published else None,
        finds_by_email=finds_by_email,
        connection=connection,
        todo=tuple(
            hint
            for is_missing, hint in (
                (not active, f"No API key yet: leavewell keys create {app_id}"),
                (not config, f"Billing is not connected: leavewell setup provider {app_id} …"),
                (
                    connection is not None and connection.needs_attention,
                    "Billing does not accept the credentials: "
                    f"leavewell setup provider {app_id} {environment.provider} …",
                ),
                (
                    bool(config) and bool(unproven),
                    "What changes in billing is not noticed, for its webhooks cannot be checked: "
                    f"leavewell setup provider {app_id} {environment.provider} "
                    f"{' '.join(f'{name}=…' for name in unproven)}",
                ),
                (
                    published is None,
                    f"No flow is published: leavewell flow import {organization.slug} FILE",
                ),
                (
                    not environment.return_url,
                    f"Customers have no way back: leavewell setup return-url {app_id} URL",
                ),
                (
                    not (environment.contact_email or environment.contact_url),
                    f"Customers have nobody to ask: leavewell setup contact {app_id} --email …",
                ),
                (
                    not has_mailer,
                    "No mail leaves: customers can neither prove an address nor get receipts by mail. "
                    "Set SMTP_URL.",
                ),
                (
                    has_mailer and not environment.contact_email,
                    f"Nobody of yours is mailed the requests that customers leave: "
                    f"leavewell setup contact {app_id} --email …",
                ),
                (
                    bool(config) and environment.hosted_enabled and not finds_by_email,
                    f"Billing finds no customer by email, so the public entry only takes requests: "
                    f"{_way_to_find(environment)}",
                ),
            )
            if is_missing
        ),
    )


def _finds_by_email(environment: Environment, *, vault: Vault, http: OutboundHttp, clock: Clock) -> bool:
    try:
        able = connections.capabilities(environment, vault=vault, http=http, clock=clock)
    except InvalidInput:  # not connected yet
        return False
    return Capability.FIND_BY_EMAIL in able


def _way_to_find(environment: Environment) -> str:
    if environment.provider == "direct":
        return f"leavewell setup provider {environment.app_id} direct … lookup_url=…"
    return "this billing system has no such search."


# --- One setter a subject ---------------------------------------------------------------------------------------------


def set_provider(
    db: Session,
    vault: Vault,
    *,
    app_id: str,
    provider: str,
    config: Mapping[str, str],
    allowed: Sequence[Network],
    now: datetime,
) -> Environment:
    """How the environment's billing system is reached. Raises InvalidInput with the names of the provider's fields.

    Asks nobody (`setup/connecting.py` does).
    """
    environment = accounts.get_environment(db, app_id)
    check_provider(provider, config, allowed)
    is_known = environment.provider == provider and connections.config_of(environment, vault) == config
    if is_known:
        return environment
    return connections.save(db, vault, app_id=app_id, provider=provider, config=config, now=now)


def check_provider(provider: str, config: Mapping[str, str], allowed: Sequence[Network]) -> None:
    """Raises InvalidInput that names each field that cannot be right."""
    kind = PROVIDERS.get(provider)
    fields = kind.credential_fields if kind else ()
    urls = [field.name for field in fields if field.kind == "url"]
    try:
        registry.check_config(provider, config)
        problems: tuple[FieldError, ...] = ()
    except InvalidInput as error:
        problems = error.fields
    named = {problem.field for problem in problems}
    _raise(
        *problems,
        *(
            _wrong(name, outbound_problem(config[name], allowed))
            for name in urls
            if name in config and name not in named
        ),
        *(_wrong(field.name, _beginning_problem(field, config.get(field.name, ""))) for field in fields),
    )


def _beginning_problem(field: CredentialField, value: str) -> str | None:
    if all(part.startswith(field.begins) for part in value.split()):
        return None
    return f"Must begin with {field.begins}; this is something else."


def set_customer_data(
    db: Session,
    vault: Vault,
    *,
    app_id: str,
    url: str | None,
    secret: str | None = None,
    timeout_ms: int | None = None,
    allowed: Sequence[Network],
) -> Environment:
    """Where attributes are asked for; None asks nobody. A secret and a time-out that are not given stay."""
    environment = accounts.get_environment(db, app_id)
    _raise(
        _wrong("url", url and outbound_problem(url, allowed)),
        _wrong("secret", secret and _secret_problem(secret)),
        _wrong("timeout_ms", None if timeout_ms is None or timeout_ms in TIMEOUT_MS else _TIMEOUT_PROBLEM),
    )
    if environment.customer_data_url != url:
        environment.customer_data_url = url
        environment.customer_data_failures = 0
        environment.customer_data_skip_until = None
    if url is None:
        environment.customer_data_secret = None
    elif secret is not None:
        environment.customer_data_secret = vault.seal(secret)
    if timeout_ms is not None:
        environment.customer_data_timeout_ms = timeout_ms
    return environment


def set_return_url(
    db: Session,
    *,
    app_id: str,
    url: str | None,
    origins: Sequence[str] = (),
    allowed: Sequence[Network],
) -> Environment:
    """Where customers go afterwards, and which origins a link may name instead. The URL's own is always listed."""
    environment = accounts.get_environment(db, app_id)
    listed, problems = normal_origins(origins, allowed)
    _raise(_wrong("url", url and browser_problem(url, allowed)), *problems)
    if url is not None and (own := origin_of(url)) not in listed:
        listed = (own, *listed)
    environment.return_url = url
    if environment.return_origins != list(listed):
        environment.return_origins = list(listed)
    return environment


def set_contact(
    db: Session, *, app_id: str, email: str | None, url: str | None, allowed: Sequence[Network] = ()
) -> Environment:
    """Whom customers can ask: an email address, a page, both or nobody."""
    environment = accounts.get_environment(db, app_id)
    _raise(
        _wrong("email", email and email_problem(email)),
        _wrong("url", url and browser_problem(url, allowed)),
    )
    environment.contact_email = email
    environment.contact_url = url
    return environment


def set_theme(db: Session, *, app_id: str, theme: Mapping[str, object]) -> Environment:
    """Colours, font, corners and logo of the hosted page (app/web/theme.py). Raises InvalidInput."""
    environment = accounts.get_environment(db, app_id)
    parse_theme(theme)
    if environment.theme != theme:
        environment.theme = dict(theme)
    return environment


def set_exit_policy(db: Session, *, app_id: str, policy: str) -> Environment:
    """When *Cancel now* is on every step: always, or where the law wants it (DESIGN §5)."""
    environment = accounts.get_environment(db, app_id)
    _raise(
        _wrong("policy", None if policy in EXIT_POLICIES else f"Must be one of {', '.join(EXIT_POLICIES)}.")
    )
    environment.exit_policy = policy
    return environment


def set_locale(db: Session, *, app_id: str, locale: str) -> Environment:
    """The language that a customer gets who asks for none that there is."""
    environment = accounts.get_environment(db, app_id)
    is_tag = re.fullmatch(LOCALE, locale, re.ASCII) is not None
    _raise(_wrong("locale", None if is_tag else "Must be a language tag such as en or de-AT."))
    environment.locale = locale.replace("_", "-")
    return environment


def set_time_zone(db: Session, *, app_id: str, zone: str | None) -> Environment:
    """The clocks that receipts and reminders go by where nothing is known of the customer's; None: UTC alone."""
    environment = accounts.get_environment(db, app_id)
    known = zone and known_zone(zone)
    is_wrong = zone is not None and not known
    _raise(
        _wrong("time_zone", "Must be an IANA time zone, such as Europe/Berlin or UTC." if is_wrong else None)
    )
    environment.time_zone = known
    return environment


# --- The public entry and mail ----------------------------------------------------------------------------------------


def set_hosted(
    db: Session,
    *,
    app_id: str,
    is_on: bool | None = None,
    link_life: timedelta | None = None,
    code_life: timedelta | None = None,
) -> Environment:
    """Whether customers can prove who they are by email, how long links live that are made by hand, and how long
    codes do. What is not given stays."""
    environment = accounts.get_environment(db, app_id)
    _raise(
        _wrong("link_life", _outside(link_life, LINK_LIFE) and "Must be from 1h to 7d, such as 24h."),
        _wrong("code_life", _outside(code_life, CODE_LIFE) and "Must be from 5 to 15 minutes."),
    )
    if is_on is not None:
        environment.hosted_enabled = is_on
    if link_life is not None:
        environment.link_life_s = int(link_life.total_seconds())
    if code_life is not None:
        environment.code_life_s = int(code_life.total_seconds())
    return environment


def set_sender(db: Session, *, app_id: str, name: str | None, address: str | None) -> Environment:
    """Who mails are from. Without a name the organization's stands there, without an address that of SMTP_URL."""
    environment = accounts.get_environment(db, app_id)
    is_name = name is None or (name.strip() != "" and one_line(name, LONGEST_NAME) == name)
    _raise(
        _wrong(
            "name",
            None
            if is_name
            else f"Must be 1 to {LONGEST_NAME} printable characters on one line, without needless spaces.",
        ),
        _wrong("address", address and email_problem(address)),
    )
    environment.sender_name = name
    environment.sender_address = address
    return environment


def set_subject(db: Session, *, app_id: str, kind: str, text: str | None) -> Environment:
    """The subject of one kind of mail; None takes ours again."""
    environment = accounts.get_environment(db, app_id)
    if kind not in set(MailKind):
        _raise(_wrong("kind", f"Must be one of {', '.join(MailKind)}."))
    _raise(_wrong("text", None if text is None else subject_problem(MailKind(kind), text)))
    others = {name: own for name, own in (environment.mail_subjects or {}).items() if name != kind}
    subjects = others if text is None else {**others, kind: text}
    if (environment.mail_subjects or {}) != subjects:
        environment.mail_subjects = subjects or None
    return environment


def set_pause_reminder(db: Session, *, app_id: str, days: int) -> Environment:
    """How many days before a pause ends the customer is reminded; 0: not at all."""
    environment = accounts.get_environment(db, app_id)
    last = PAUSE_REMINDER_DAYS.stop - 1
    is_fine = days in PAUSE_REMINDER_DAYS
    _raise(_wrong("days", None if is_fine else f"Must be from 0 to {last} days; 0 reminds nobody."))
    environment.pause_reminder_days = days
    return environment


def _outside(span: timedelta | None, bounds: tuple[timedelta, timedelta]) -> bool:
    return span is not None and not bounds[0] <= span <= bounds[1]


_TIMEOUT_PROBLEM: Final = f"Must be from {TIMEOUT_MS.start} to {TIMEOUT_MS.stop - 1} milliseconds."


def _wrong(field: str, problem: str | Literal[False] | None) -> FieldError | None:
    return FieldError(field, problem) if problem else None


def _raise(*found: FieldError | None) -> None:
    problems = [problem for problem in found if problem is not None]
    if problems:
        raise InvalidInput(fields=problems)


def _secret_problem(secret: str) -> str | None:
    try:
        check_secrets(secret)
    except BadSecret as error:
        return str(error)
    return None


def _slug_of(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")

"""Which billing systems there are, what each asks for, how one is connected. Loads an adapter when it is needed."""

import asyncio
import threading
from collections.abc import Mapping
from importlib import import_module

from app.adapters.addresses import BadUrl, parse_url
from app.adapters.billing.connection import (
    API_BASE,
    Connection,
    CredentialField,
    Mode,
    ProviderKind,
    Snapshot,
)
from app.adapters.clock import Clock
from app.adapters.http import OutboundHttp
from app.adapters.standard_webhooks import BadSecret, check_secrets
from app.core.billing import BillingProvider
from app.core.errors import FieldError, InvalidInput

LONGEST_VALUE = 2048

_IMPORTING = threading.Lock()
_LOADED: set[str] = set()  # modules; what is in sys.modules may still be half imported

PROVIDERS: Mapping[str, ProviderKind] = {
    kind.name: kind
    for kind in (
        ProviderKind(
            name="direct",
            label="Your own billing",
            module="app.adapters.billing.direct",
            credential_fields=(
                CredentialField(
                    "action_url", "Action URL", "Where each change is sent, as a signed POST.", kind="url"
                ),
                CredentialField(
                    "action_secret",
                    "Signing secret",
                    "whsec_…; while you change it, the new and the old one with a space between.",
                    kind="signing_secrets",
                    is_secret=True,
                ),
                CredentialField(
                    "lookup_url",
                    "Customer look-up URL",
                    "Asked for the customer who has an email address. Without it there is no entry by email.",
                    kind="url",
                    is_required=False,
                ),
            ),
        ),
        ProviderKind(
            name="stripe",
            label="Stripe",
            module="app.adapters.billing.stripe",
            credential_fields=(
                CredentialField(
                    "api_key",
                    "API key",
                    "A secret or, better, a restricted key: sk_… or rk_…, of the live or the test mode.",
                    is_secret=True,
                    modes=(
                        ("sk_live_", "live"),
                        ("rk_live_", "live"),
                        ("sk_test_", "test"),
                        ("rk_test_", "test"),
                    ),
                ),
                CredentialField(
                    "webhook_secret",
                    "Webhook signing secret",
                    "whsec_… of the webhook endpoint; while you change it, the new and the old one with a space "
                    "between.",
                    is_secret=True,
                    is_required=False,
                    begins="whsec_",
                ),
                API_BASE,
            ),
            most_at_once=12,  # Stripe takes 100 calls a second, in test mode 25
            has_inbound=True,
        ),
        ProviderKind(
            name="paddle",
            label="Paddle",
            module="app.adapters.billing.paddle",
            credential_fields=(
                CredentialField(
                    "api_key",
                    "API key",
                    "pdl_live_apikey_…, or pdl_sdbx_apikey_… of a sandbox account for test.",
                    is_secret=True,
                    modes=(("pdl_live_", "live"), ("pdl_sdbx_", "test")),
                ),
                CredentialField(
                    "webhook_secret",
                    "Webhook secret",
                    "pdl_ntfset_… of the notification destination; while you change it, the new and the old one with "
                    "a space between.",
                    is_secret=True,
                    is_required=False,
                    begins="pdl_ntfset_",
                ),
                API_BASE,
            ),
            most_at_once=8,  # Paddle takes 240 calls a minute from an address
            has_inbound=True,
        ),
        ProviderKind(
            name="chargebee",
            label="Chargebee",
            module="app.adapters.billing.chargebee",
            credential_fields=(
                CredentialField(
                    "site",
                    "Site",
                    "The first part of your Chargebee address: acme, or acme-test for a test site.",
                ),
                CredentialField(
                    "api_key",
                    "API key",
                    "A full-access key of that site: live_… or test_….",
                    is_secret=True,
                    modes=(("live_", "live"), ("test_", "test")),
                ),
                CredentialField(
                    "webhook_user",
                    "Webhook user name",
                    "What the webhook in Chargebee is protected with.",
                    is_required=False,
                    is_for_webhooks=True,
                ),
                CredentialField(
                    "webhook_password",
                    "Webhook password",
                    "While you change it, the new and the old one with a space between.",
                    is_secret=True,
                    is_required=False,
                ),
                CredentialField(
                    "cancel_reason_code",
                    "Cancellation reason code",
                    "Needed only where your site demands a reason code: one of its codes.",
                    is_required=False,
                ),
                API_BASE,
            ),
            most_at_once=10,
            has_inbound=True,
        ),
        ProviderKind(
            name="braintree",
            label="Braintree",
            module="app.adapters.billing.braintree",
            credential_fields=(
                CredentialField(
                    "environment",
                    "Environment",
                    "production takes real money, sandbox is for trying things out.",
                    choices=("production", "sandbox"),
                    modes=(("production", "live"), ("sandbox", "test")),
                ),
                CredentialField("merchant_id", "Merchant ID", "In the Control Panel, under API keys."),
                CredentialField("public_key", "Public key", "Of an API key made for Leavewell alone."),
                CredentialField(
                    "private_key",
                    "Private key",
                    "Of the same API key. It also proves that webhooks are Braintree's.",
                    is_secret=True,
                ),
                CredentialField(
                    "discount_id",
                    "Discount for offers",
                    "The ID of a Discount that you create for offers in percent or money; leavewell-discount if empty.",
                    is_required=False,
                ),
                CredentialField(
                    "pause_discount_id",
                    "Discount for pauses",
                    "The ID of a Discount that you create for pauses; leavewell-pause if empty.",
                    is_required=False,
                ),
                API_BASE,
            ),
            most_at_once=8,
            has_inbound=True,
            challenged_by="bt_challenge",
        ),
        ProviderKind(
            name="maxio",
            label="Maxio Advanced Billing",
            module="app.adapters.billing.maxio",
            credential_fields=(
                CredentialField(
                    "subdomain",
                    "Subdomain",
                    "The first part of your site's address: acme of acme.chargify.com.",
                ),
                CredentialField(
                    "api_key", "API key", "A key of that site, from Config, Integrations.", is_secret=True
                ),
                CredentialField(
                    "shared_key",
                    "Site shared key",
                    "Proves that webhooks are Maxio's; while you change it, the new and the old one with a space "
                    "between.",
                    is_secret=True,
                    is_required=False,
                    begins="whsec_",
                ),
                API_BASE,
            ),
            most_at_once=12,  # look-ups, of several calls each: the adapter makes four at once, as Maxio works on them
            has_inbound=True,
        ),
        ProviderKind(
            name="demo",
            label="The demo's billing service",
            module="app.adapters.billing.demo",
            credential_fields=(
                CredentialField(
                    "base_url", "Address", "Where the demo's billing service answers.", kind="url"
                ),
                CredentialField("api_key", "Key", "The key that it was started with.", is_secret=True),
            ),
        ),
    )
}


async def load(provider: str) -> None:
    """Import the adapter and the vendor's library before `connect` has to: in a thread, as that takes part of a second.

    Once in a process; nothing for a provider that does not exist.
    """
    kind = PROVIDERS.get(provider)
    if kind is not None and kind.module not in _LOADED:
        await asyncio.to_thread(_import, kind.module)
        _LOADED.add(kind.module)


def _import(module: str) -> None:
    """One at a time: two that import each other's parts could else see them half made."""
    with _IMPORTING:
        import_module(module)


def connect(
    provider: str,
    config: Mapping[str, str],
    *,
    http: OutboundHttp,
    clock: Clock,
    mode: Mode,
    snapshot: Snapshot | None = None,
) -> BillingProvider:
    """Return the environment's billing system, ready to be asked; asks nothing itself.

    On an event loop `load` it first. Raises InvalidInput if `config` is not what `check_config` would let pass.
    """
    check_config(provider, config)
    module = import_module(PROVIDERS[provider].module)
    connected: BillingProvider = module.connect(Connection(config, mode, http, clock, snapshot or Snapshot()))
    return connected


def check_config(provider: str, config: Mapping[str, object]) -> None:
    """Raises InvalidInput that names each field that is missing, unknown or malformed."""
    kind = PROVIDERS.get(provider)
    if kind is None:
        known = ", ".join(PROVIDERS)
        raise InvalidInput(fields=[FieldError("provider", f"There is no such provider. Known are: {known}.")])
    names = {field.name for field in kind.credential_fields}
    unknown = f"There is no such field. {kind.label} has {', '.join(field.name for field in kind.credential_fields)}."
    problems = [FieldError(name, unknown) for name in sorted(config.keys() - names)]
    for field in kind.credential_fields:
        message = _problem(field, config.get(field.name, ""))
        if message:
            problems.append(FieldError(field.name, message))
    if problems:
        raise InvalidInput(fields=problems)


def _problem(field: CredentialField, value: object) -> str | None:
    if not isinstance(value, str) or len(value) > LONGEST_VALUE:
        return f"Must be a text of at most {LONGEST_VALUE} characters."
    if not value.strip():
        return "This field is required." if field.is_required else None
    try:
        if field.kind == "url":
            parse_url(value)
        elif field.kind == "signing_secrets":
            check_secrets(value)
    except (BadUrl, BadSecret) as error:
        return str(error)
    if not value.isascii() or not value.isprintable():
        return "Must be printable ASCII."
    if field.choices and value not in field.choices:
        return f"Must be one of {', '.join(field.choices)}."
    return None

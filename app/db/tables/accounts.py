"""Organizations, their live and test environments, and API keys. Rows only, no behaviour."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlmodel import Field

from app.db.base import Json, Table, added


class Organization(Table, table=True):
    """A merchant. Several can live in one installation."""

    __tablename__ = "organizations"

    id: str = Field(primary_key=True)  # org_…
    name: str
    slug: str = Field(unique=True)
    created_at: datetime


class Environment(Table, table=True):
    """The live or the test half of an organization. Its App ID decides the mode, no client's say-so does."""

    __tablename__ = "environments"
    __table_args__ = (
        UniqueConstraint("organization_id", "mode"),
        CheckConstraint("mode IN ('live', 'test')", name="mode"),
    )

    app_id: str = Field(primary_key=True)  # app_… live, app_test_… test
    organization_id: str = Field(foreign_key="organizations.id")
    mode: str
    provider: str = "direct"
    provider_config: str | None = None  # sealed by the vault
    customer_data_url: str | None = None
    customer_data_secret: str | None = None  # sealed by the vault
    customer_data_timeout_ms: int = 1500
    customer_data_failures: int = 0  # in a row; the breaker's count
    customer_data_skip_until: datetime | None = None
    return_url: str | None = None
    return_origins: list[str] = Field(default_factory=list, sa_type=Json)
    contact_email: str | None = None
    contact_url: str | None = None
    exit_policy: str = "always"  # always | regulated
    locale: str = "en"
    theme: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    time_zone: str | None = None  # IANA; what receipts fall back on
    hosted_enabled: bool = True  # False: the public entry only says how to reach the merchant
    link_life_s: int = added(86_400)  # of links that are made by hand
    code_life_s: int = added(600)
    sender_name: str | None = None
    sender_address: str | None = None
    mail_subjects: dict[str, str] | None = Field(default=None, sa_type=Json)  # by kind of mail
    pause_reminder_days: int = added(3)  # 0: none
    retention_days: int = added(400)  # personal data of what is finished; 0: for ever
    slack_url_encrypted: str | None = None  # sealed by the vault: whoever has the URL may post
    created_at: datetime


class ApiKey(Table, table=True):
    """A key is looked up by its hash; the sealed key itself is kept because it also signs (HMAC).

    A data key reads what happened, within its scopes, and signs nothing; a flow key mints links and reads nothing.
    """

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)  # key_…
    app_id: str = Field(foreign_key="environments.app_id", index=True)
    kind: str = added("flow")  # flow | data
    scopes: list[str] | None = Field(default=None, sa_type=Json)  # of a data key
    key_sha256: str = Field(unique=True)
    key_encrypted: str  # sealed by the vault
    hint: str  # the last four characters
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

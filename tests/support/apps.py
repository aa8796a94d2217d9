"""The application as tests start it: real wiring, given settings."""

from typing import Any

from app.settings import Settings

SECRET = "a-secret-of-the-tests-0123456789abcdefghijklmnop"
OLD_SECRET = "an-older-secret-of-the-tests-9876543210zyxwvutsrq"


def make_settings(database_url: str = "sqlite:///unused.sqlite3", **changes: Any) -> Settings:
    """Settings that name no network, no proxy and no worker."""
    return Settings(
        **{"secrets": (SECRET,), "base_url": "http://leavewell.test", "database_url": database_url, **changes}
    )

"""The bureau's customers, and a channel that is told of them."""

from tests.privacy.conftest import billing_server, bureau

__all__ = ["billing_server", "bureau"]

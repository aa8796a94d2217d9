"""Whom we trust when a server proves who it is. Opens no connection."""

import os
import ssl
from pathlib import Path

import certifi


def client_tls(authorities: Path | None = None) -> ssl.SSLContext:
    """Checks certificates and the names in them, against `authorities` alone or, without it, the system's.

    SSL_CERT_FILE counts as the system's; certifi's stand in where the machine has none.
    """
    context = ssl.create_default_context(cafile=authorities)
    if authorities is None:
        paths = ssl.get_default_verify_paths()
        if paths.cafile is None and not (paths.capath and os.listdir(paths.capath)):
            context.load_verify_locations(certifi.where())
    return context

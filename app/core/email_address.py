"""What an email address is, and which spellings of one are to be counted as one. Pure; mails nobody."""

import re
import unicodedata
from typing import Final

import idna

from app.core.fields import is_clean

MAX_ADDRESS: Final = 254  # RFC 5321 §4.5.3.1.3 with erratum 1690: octets
MAX_LOCAL: Final = 64
MAX_KNOWN: Final = 320  # characters of what a billing system may call an address

_LOCAL = re.compile(r"[^\s@<>,;:\"()\[\]\\]+")
# RFC 2047. Python's writer of mails decodes it wherever it stands: `=?utf-8?q?=0D=0ABcc=3A…?=@host` makes a header.
_ENCODED_WORD = re.compile(r"=\?.*\?=")
_DOTLESS_HOSTS = frozenset({"gmail.com", "googlemail.com"})  # dots in front of the @ mean nothing there


def is_address(text: str) -> bool:
    """True for `name@host.example`: one line, one host that can have a mailbox, no quoting, no comment, no display
    name. Letters of every script are fine on both sides."""
    local, _, host = text.rpartition("@")
    return (
        text.isprintable()
        and len(text.encode()) <= MAX_ADDRESS
        and len(local.encode()) <= MAX_LOCAL
        and _LOCAL.fullmatch(local) is not None
        and _ENCODED_WORD.search(local) is None
        and not (local.startswith(".") or local.endswith(".") or ".." in local)
        and _ascii_host(host) is not None
    )


def may_be_known_by(text: str) -> bool:
    """Whether a billing system may have it for somebody's address, mailboxes there are none of included (`a..b@host`):
    something on both sides of an `@`, in one word. Never a reason to mail it."""
    return len(text) <= MAX_KNOWN and is_clean(text) and not any(map(str.isspace, text)) and "@" in text[1:-1]


def address_problem(typed: str) -> str | None:
    """The catalogue's key of what is wrong with a typed address, space around it aside; None if nothing is."""
    address = typed.strip()
    if not address:
        return "errors.email.missing"
    return None if is_address(address) else "errors.email.invalid"


def normal_address(typed: str) -> str:
    """One spelling for all that, as a rule, arrive in one mailbox. For counting only: never to be mailed, nor shown.

    Case, tags (`name+tag@…`) and an international host's two spellings make no difference. Takes any text.
    """
    text = unicodedata.normalize("NFKC", typed.strip()).casefold()
    local, _, host = text.rpartition("@")
    host = _ascii_host(host) or host
    local = local.partition("+")[0] or local
    if host in _DOTLESS_HOSTS:
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{host}"


def address_key(typed: str) -> str:
    """What two spellings of one very address have in common: only case, and the way an accent is written, make no
    difference. By it everything about an address is found. Takes any text."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", typed.strip()).casefold())


def is_look_alike(proven: str, known: str) -> bool:
    """Whether what billing knows somebody by is another mailbox than the proven one, and was found by letters that it
    takes for others: many databases find `josé@` by `jose@`, and `mike@` by `mıke@`.

    Two addresses in plain ASCII may be one customer's: what somebody is known by besides is the merchant's to say.
    """
    if not known or (proven.isascii() and known.isascii()):
        return False
    (name, _, host), (known_name, _, known_host) = proven.rpartition("@"), known.rpartition("@")
    return (
        name.isascii() is not known_name.isascii()
        or unicodedata.normalize("NFC", name).lower() != unicodedata.normalize("NFC", known_name).lower()
        or (_ascii_host(host) or host) != (_ascii_host(known_host) or known_host)
    )


def _ascii_host(host: str) -> str | None:
    """The host as mail servers spell it; None where it has less than two names, or only a number for the last."""
    if len(host) > MAX_ADDRESS:
        return None
    try:
        name = idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return None
    last = name.rpartition(".")[2]
    return name if "." in name and last and not last.isdigit() else None

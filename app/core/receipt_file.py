"""A signed receipt as a file: the one spelling that is signed (RFC 8785), the format, and its careful reader. Pure.

Knows no cryptography: who checks a signature is adapters/ed25519.py.
"""

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Never

ALGORITHM: Final = "Ed25519"
MAX_BYTES: Final = 64 * 1024  # of a file, and of a set of keys
MAX_DEPTH: Final = 16
MAX_INTEGER: Final = 2**53 - 1  # what every JSON reader counts exactly (RFC 7493)
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_UNSEEN: Final = re.compile(r"[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class NotCanonical(ValueError):
    """A value that has no exact spelling here. The message says which kind."""


class NotAReceipt(ValueError):
    """A file of another format, or a broken one. The message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A file as it was read. That the signature fits is not known yet."""

    content: dict[str, Any]
    key_id: str
    signature: bytes

    def signed_bytes(self) -> bytes:
        """What the signature has to fit."""
        return canonical(self.content)


# --- The one spelling ------------------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """The JSON Canonicalization Scheme (RFC 8785) for what a receipt is made of: text, whole numbers, booleans, null,
    lists, and objects, whose members are put in the order of their names' UTF-16 code units.

    Raises NotCanonical for anything else: fractions, numbers beyond ±(2⁵³ − 1), text that is not Unicode.
    """
    parts: list[str] = []
    _spell(value, parts, 0)
    try:
        return "".join(parts).encode()
    except UnicodeEncodeError:
        raise NotCanonical("There is half a character (a lone surrogate) in it.") from None


def _spell(value: Any, parts: list[str], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise NotCanonical(f"It is nested more than {MAX_DEPTH} levels deep.")
    match value:
        case None | bool():
            parts.append("null" if value is None else "true" if value else "false")
        case str():
            parts.append(_text(value))
        case int():
            if abs(value) > MAX_INTEGER:
                raise NotCanonical("There is a number in it that not every program reads exactly.")
            parts.append(str(int(value)))
        case Mapping():
            parts.append("{")
            for number, name in enumerate(sorted(value, key=_utf16)):
                parts.append(("," if number else "") + _text(name) + ":")
                _spell(value[name], parts, depth + 1)
            parts.append("}")
        case list() | tuple():
            parts.append("[")
            for number, item in enumerate(value):
                if number:
                    parts.append(",")
                _spell(item, parts, depth + 1)
            parts.append("]")
        case float():
            raise NotCanonical("There is a number with a fraction or an exponent in it.")
        case _:
            raise NotCanonical(f"There is a {type(value).__name__} in it, which JSON does not have.")


def _text(text: str) -> str:
    # Python escapes what ECMAScript's JSON.stringify does, and writes it the same way.
    return json.dumps(str(text), ensure_ascii=False)


def _utf16(name: Any) -> bytes:
    if not isinstance(name, str):
        raise NotCanonical("The names of an object's members are text.")
    try:
        return name.encode("utf-16-be")
    except UnicodeEncodeError:
        raise NotCanonical("There is half a character (a lone surrogate) in it.") from None


# --- The file --------------------------------------------------------------------------------------------------------


def file_name(content: Mapping[str, Any]) -> str:
    """What the file is called where it is attached or downloaded."""
    return f"receipt-{content['reference']}.json"


def to_file(content: Mapping[str, Any], key_id: str, signature: str) -> str:
    """The file, laid out for people. Its layout is not signed: only what the receipt says is.

    What would not be seen, or would turn the text around it, is escaped.
    """
    signed_with = {"algorithm": ALGORITHM, "keyId": key_id, "value": signature}
    text = json.dumps({"receipt": content, "signature": signed_with}, ensure_ascii=False, indent=2)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def read_file(text: str) -> SignedReceipt:
    """Read a file that came from anywhere. Raises NotAReceipt with a sentence for who holds it."""
    whole = _members(_parse(text), ("receipt", "signature"), "The file")
    content = whole["receipt"]
    signed_with = _members(whole["signature"], ("algorithm", "keyId", "value"), "“signature”")
    if not isinstance(content, dict):
        raise NotAReceipt("“receipt” is not an object.")
    if signed_with["algorithm"] != ALGORITHM:
        raise NotAReceipt(f"The signature is of another kind than {ALGORITHM}.")
    key_id, value = signed_with["keyId"], signed_with["value"]
    if not isinstance(key_id, str) or not key_id:
        raise NotAReceipt("“keyId” names no key.")
    signature = from_base64url(value) if isinstance(value, str) else None
    if signature is None or len(signature) != SIGNATURE_BYTES:
        raise NotAReceipt(f"The signature’s “value” is not {SIGNATURE_BYTES} bytes in base64url.")
    try:
        canonical(content)
    except NotCanonical as problem:
        raise NotAReceipt(str(problem)) from None
    return SignedReceipt(content, key_id, signature)


# --- The keys --------------------------------------------------------------------------------------------------------


def to_jwks(keys: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Public keys (id, 32 bytes in base64url) as a JWK set (RFC 7517, RFC 8037)."""
    same = {"kty": "OKP", "crv": ALGORITHM, "alg": "EdDSA", "use": "sig"}
    return {"keys": [{**same, "kid": key_id, "x": x} for key_id, x in keys]}


def read_jwks(text: str) -> dict[str, bytes]:
    """The Ed25519 keys of a JWK set, by their ids; keys of other kinds are passed over. Raises NotAReceipt."""
    whole = _parse(text)
    listed = whole.get("keys") if isinstance(whole, dict) else None
    if not isinstance(listed, list):
        raise NotAReceipt("There is no list “keys” in it.")
    found: dict[str, bytes] = {}
    for key in listed:
        if not isinstance(key, dict) or (key.get("kty"), key.get("crv")) != ("OKP", ALGORITHM):
            continue
        key_id, x = key.get("kid"), key.get("x")
        public = from_base64url(x) if isinstance(x, str) else None
        if not isinstance(key_id, str) or not key_id or public is None or len(public) != KEY_BYTES:
            raise NotAReceipt(f"One of the {ALGORITHM} keys in it is broken.")
        if found.setdefault(key_id, public) != public:
            raise NotAReceipt("Two different keys in it have the same “kid”.")
    return found


def to_base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes | None:
    """The bytes, if this is the one spelling of them: no padding, no foreign character, no spare bit set."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return raw if to_base64url(raw) == text else None


# --- Reading JSON strictly -------------------------------------------------------------------------------------------


def _parse(text: str) -> Any:
    """JSON as RFC 8785 takes it (I-JSON): a name once in an object, no fraction."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise NotAReceipt("This is not UTF-8 text.") from None
    if size > MAX_BYTES:
        raise NotAReceipt(f"It is larger than {MAX_BYTES // 1024} KB.")
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_float=_refuse_fraction, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise NotAReceipt(f"This is not JSON (line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise NotAReceipt(f"It is nested more than {MAX_DEPTH} levels deep.") from None
    except NotAReceipt:
        raise
    except ValueError:  # more digits than Python turns into a number
        raise NotAReceipt("There is a number in it that not every program reads exactly.") from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotAReceipt(f"“{twice[:40]}” is there twice in one object.")
    return members


def _refuse_fraction(_: str) -> Never:
    raise NotAReceipt("There is a number with a fraction or an exponent in it; a receipt has none.")


def _refuse_constant(name: str) -> Never:
    raise NotAReceipt(f"{name} is not JSON.")


def _members(value: Any, names: tuple[str, ...], where: str) -> dict[str, Any]:
    """An object with exactly these members: what else stood beside the signed part could mislead."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise NotAReceipt(f"{where} is not an object of {', '.join(f'“{name}”' for name in names)}.")
    return value

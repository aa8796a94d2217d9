"""Reads a browser's form: raw, bounded, and with everything kept that a person typed.

Knows no field. What a field must hold is the feature's to say; here only what no field may hold.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from app.core.errors import FieldError, MalformedRequest, UnsupportedMediaType
from app.web.bodies import AnyRequest, media_type, read_body
from app.web.copy import Copy

# A survey posts every follow-up it shows; twenty of them, full to their limit with emoji (12 bytes each once
# encoded), come to 480 KB, and the page must be able to say which is too long.
MAX_BYTES = 512 * 1024
MAX_FIELDS = 100
MAX_NAME_LENGTH = 100
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all but tab and line feed; newlines are normalised first
FORM = "application/x-www-form-urlencoded"


class UnreadableForm(MalformedRequest):
    code = "unreadable_form"
    user_message = "The form did not arrive in a readable way. Please go back and send it again."


class NotAForm(UnsupportedMediaType):
    code = "not_a_form"
    user_message = "This address takes an ordinary web form."


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent, in order. A name sent twice holds both values; `get` answers the last."""

    values: Mapping[str, tuple[str, ...]]
    with_control_characters: frozenset[str] = frozenset()

    def get(self, name: str, default: str = "") -> str:
        """Return the value as typed, without the control characters."""
        return self.values[name][-1] if name in self.values else default

    def text(self, name: str) -> str:
        """Return the value without space around it."""
        return self.get(name).strip()

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value sent under a name."""
        return self.values.get(name, ())

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def errors(self, copy: Copy) -> list[FieldError]:
        """Return what is wrong with the typing itself, to stand beside the feature's own errors."""
        message = copy.t("errors.text.control") if self.with_control_characters else ""
        return [FieldError(name, message) for name in self.values if name in self.with_control_characters]


async def parse_form(request: AnyRequest) -> Form:
    """Return the posted form; a POST without a body is an empty one.

    Raises PayloadTooLarge, NotAForm (multipart too: nothing here takes files), UnreadableForm (not UTF-8, too
    many fields). Stray control characters are no reason to lose what was typed: they are taken out and their
    field is named.
    """
    kind, charset = media_type(request)
    body = await read_body(request, MAX_BYTES)
    if not body:
        return Form({})
    if kind != FORM or charset not in ("", "utf-8", "utf8"):
        raise NotAForm
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS, separator="&"
        )
    except ValueError as error:  # not UTF-8 (before or after decoding), or too many fields
        raise UnreadableForm from error
    values: dict[str, list[str]] = {}
    dirty = set()
    for name, raw in pairs:
        if not name or len(name) > MAX_NAME_LENGTH or CONTROL.search(name):
            raise UnreadableForm
        value = raw.replace("\r\n", "\n").replace("\r", "\n")  # a textarea sends CRLF
        if CONTROL.search(value):
            dirty.add(name)
            value = CONTROL.sub("", value)
        values.setdefault(name, []).append(value)
    return Form({name: tuple(found) for name, found in values.items()}, frozenset(dirty))

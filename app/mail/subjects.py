"""A merchant's own subjects: text with a few named values in braces. Checked when they are set. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from app.mail.kinds import SUBJECT_FIELDS, MailKind
from app.mail.typeset import one_line

LONGEST_SUBJECT: Final = 150

# Not str.format: that would look into whatever it is given.
_FIELD = re.compile(r"\{(\w{1,40})\}", re.ASCII)


def subject_problem(kind: MailKind, text: str) -> str | None:
    """Why that is no subject for a mail of this kind, in a sentence for the operator; None if it is one."""
    if not text.strip():
        return "Must not be empty."
    if len(text) > LONGEST_SUBJECT:
        return f"Must be at most {LONGEST_SUBJECT} characters."
    if one_line(text, LONGEST_SUBJECT) != text:
        return "Must be one line of printable characters, without needless spaces."
    known = SUBJECT_FIELDS[kind]
    unknown = next((name for name in _FIELD.findall(text) if name not in known), None)
    if unknown is not None or re.search(r"[{}]", _FIELD.sub("", text)):
        listed = ", ".join(f"{{{name}}}" for name in sorted(known))
        return f"Braces are for {listed}."
    return None


def fill_subject(text: str, values: Mapping[str, str]) -> str | None:
    """Return the subject with its values; None where the mail at hand lacks one of them."""
    if any(not values.get(name) for name in _FIELD.findall(text)):
        return None
    return _FIELD.sub(lambda found: values[found[1]], text)

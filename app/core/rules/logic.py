"""Three-valued logic (Kleene 1952): true, false and not known. Knows nothing of rules."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """The three truth values."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def negate(verdict: Verdict) -> Verdict:
    """Kleene's not: unknown stays unknown."""
    match verdict:
        case Verdict.YES:
            return Verdict.NO
        case Verdict.NO:
            return Verdict.YES
        case Verdict.UNKNOWN:
            return Verdict.UNKNOWN


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Kleene's and: one no decides, else one unknown; nothing at all is yes."""
    seen = set(verdicts)
    return next((v for v in (Verdict.NO, Verdict.UNKNOWN) if v in seen), Verdict.YES)


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Kleene's or: one yes decides, else one unknown; nothing at all is no."""
    seen = set(verdicts)
    return next((v for v in (Verdict.YES, Verdict.UNKNOWN) if v in seen), Verdict.NO)

"""Reasons with names: a value for records, a sentence for the merchant."""

from enum import StrEnum
from typing import Self


class NamedReason(StrEnum):
    """A reason: its value goes to records, its sentence to the merchant."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

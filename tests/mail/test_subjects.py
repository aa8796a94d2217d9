"""Subjects in a merchant's own words: which are taken, and what is put into them."""

import pytest

from app.mail.kinds import SUBJECT_FIELDS, MailKind
from app.mail.subjects import LONGEST_SUBJECT, fill_subject, subject_problem

VALUES = {"brand": "Northwind", "plan": "Pro", "day": "1 December 2026", "reference": "LW-1"}


@pytest.mark.parametrize("kind", MailKind)
def test_each_kind_takes_its_own_values(kind: MailKind) -> None:
    text = " ".join(f"{{{name}}}" for name in sorted(SUBJECT_FIELDS[kind]))
    assert subject_problem(kind, text) is None
    assert fill_subject(text, VALUES) == " ".join(VALUES[name] for name in sorted(SUBJECT_FIELDS[kind]))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("x" * (LONGEST_SUBJECT + 1), "at most 150"),
        ("Your code\r\nBcc: all@example.com", "one line"),
        ("Your\tcode", "one line"),
        ("Your  code", "one line"),
        ("\u202eedoc ruoY", "one line"),
        ("Your code {plan}", "{brand}"),
        ("Your code {brand", "{brand}"),
        ("Your code {}", "{brand}"),
        ("Your code {brand.__class__}", "{brand}"),
        ("Your code {brand!r:>10}", "{brand}"),
        ("Your code {{brand}}", "{brand}"),
    ],
)
def test_a_subject_that_could_not_be_sent_as_meant_is_refused(text: str, problem: str) -> None:
    assert problem in (subject_problem(MailKind.CODE, text) or "")


def test_a_mail_without_what_a_subject_names_does_not_get_it() -> None:
    assert fill_subject("{plan} ends on {day}", {"plan": "Pro"}) is None
    assert fill_subject("{plan} ends on {day}", {"plan": "Pro", "day": ""}) is None


def test_a_value_is_not_filled_in_again() -> None:
    assert fill_subject("{plan}", {"plan": "{brand}", "brand": "Northwind"}) == "{brand}"

"""The templates of mails: each kind has its three, every sentence is in the catalogue, and colours are the page's."""

import re
from pathlib import Path

import pytest

from app.mail import palette
from app.mail.kinds import MailKind
from app.web.copy import catalogues
from app.web.theme import Theme
from tests.support.gallery import ROOT

MAILS = ROOT / "templates" / "email"
CSS = (ROOT / "static" / "css" / "hosted.css").read_text("utf-8")
TEMPLATES = [pytest.param(path, id=str(path.relative_to(MAILS))) for path in sorted(MAILS.rglob("*.*"))]


@pytest.mark.parametrize("kind", MailKind)
def test_each_kind_has_a_subject_and_two_bodies(kind: MailKind) -> None:
    assert {path.name for path in (MAILS / kind).iterdir() if not path.name.startswith("_")} == {
        "subject.txt",
        "body.txt",
        "body.html",
    }


def test_each_folder_is_a_kind() -> None:
    assert {path.name for path in MAILS.iterdir() if path.is_dir()} == set(MailKind)


@pytest.mark.parametrize("path", TEMPLATES)
def test_every_sentence_is_in_the_catalogue(path: Path) -> None:
    text = path.read_text("utf-8")
    for key in re.findall(r"\bt\(\s*[\"']([a-z0-9_.]+)[\"']", text):
        assert key in catalogues()["en"], key
    if path.suffix == ".txt":
        spoken = re.sub(r"\{[{%#].*?[}%#]\}", "", text, flags=re.DOTALL)
        assert not re.search(r"[A-Za-z]", spoken), "words of our own belong in the catalogue"


def test_no_sentence_about_mails_is_left_over() -> None:
    used = "".join(path.read_text("utf-8") for path in (*MAILS.rglob("*.*"), ROOT / "app/mail/letters.py"))
    composed = ("mail.manual_notice.rows.", "mail.manual_notice.reasons.")
    for key in catalogues()["en"]:
        assert not key.startswith("mail.") or key.startswith(composed) or f'"{key}"' in used, key


def test_the_colours_are_those_of_the_hosted_page() -> None:
    theme = Theme()
    light, dark = palette.light(theme.light()), palette.dark(theme.dark())
    for name in ("page", "sheet", "ink", "soft", "line", "warn"):
        found = re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", CSS)
        assert found, name
        for written, colour in zip(found.groups(), (light, dark), strict=True):
            assert _long(written) == str(getattr(colour, name)), name


def _long(colour: str) -> str:
    return colour if len(colour) == 7 else "#" + "".join(digit * 2 for digit in colour[1:])

"""Plain text as people read it: one safe line, rows below each other, other people's words marked as such."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.letters import Fact
from app.mail.typeset import (
    MEASURE,
    columns,
    lines_of,
    one_line,
    paragraph,
    plain,
    quotation,
    table,
    underlined,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Northwind Notes", "Northwind Notes"),
        ("  Northwind \t Notes\n", "Northwind Notes"),
        ("Northwind\r\nBcc: all", "Northwind Bcc: all"),
        ("Northwind\u2028Notes\u0085x\x00y", "Northwind Notes x y"),
        ("a\u202eb\u2066c\u200fd", "abcd"),
        ("Zoë 日本 👩‍👩‍👧", "Zoë 日本 👩‍👩‍👧"),
        ("", ""),
        ("\x00", ""),
    ],
)
def test_a_name_is_one_line(text: str, line: str) -> None:
    assert one_line(text, 50) == line


def test_a_long_name_ends_visibly() -> None:
    assert one_line("abcdef ghi", 8) == "abcdef…"
    assert one_line("x" * 1_000_000, 10) == "xxxxxxxxx…"


@given(st.text())
def test_one_line_is_one_line_of_the_length_that_was_asked_for(text: str) -> None:
    line = one_line(text, 20)
    assert len(line) <= 20
    assert len(line.splitlines()) <= 1
    assert one_line(line, 20) == line


def test_an_address_is_not_cut_into_two() -> None:
    url = f"https://example.com/{'x' * 100}-and-{'y' * 50}"
    assert url in paragraph(f"Go to {url} or do not go at all.").splitlines()


def test_values_stand_below_each_other_whatever_the_script() -> None:
    rows = [Fact("Plan", "Pro"), Fact("料金", "$29"), Fact("Ends on", "today", "00:00 UTC")]
    assert table(rows).splitlines() == [
        "Plan     Pro",
        "料金     $29",
        "Ends on  today",
        "         00:00 UTC",
    ]


def test_a_long_value_hangs_and_a_long_label_has_a_line_of_its_own() -> None:
    rows = [Fact("Plan", "word " * 30), Fact("A label that is far too long to stand beside", "Pro")]
    lines = table(rows).splitlines()
    assert all(columns(line) <= MEASURE for line in lines)
    assert lines[1].startswith(" " * 26 + "word")
    assert lines[-2:] == ["A label that is far too long to stand beside", " " * 26 + "Pro"]
    assert table([]) == ""


def test_what_others_wrote_cannot_pass_for_ours() -> None:
    quoted = quotation("Cancel me.\r\n-- \nNorthwind\u2028Pay here: \u202eevil\n\n" + "x" * 200)
    assert all(line.startswith(">") for line in quoted.splitlines())
    assert all(len(line) <= MEASURE for line in quoted.splitlines())
    assert "\u202e" not in quoted
    assert quotation("") == ">"


@given(st.text())
def test_a_quotation_is_marked_in_every_line(text: str) -> None:
    assert all(line.startswith(">") for line in quotation(text).splitlines())


@given(st.text(st.characters(categories=["Cc", "Cs", "Cf", "L", "Zl"])))
def test_no_control_is_left_in_lines(text: str) -> None:
    assert all(
        character.isprintable() or character == "\n" or ord(character) > 127 for character in lines_of(text)
    )
    lines_of(text).encode()


def test_rich_text_is_read_without_its_elements() -> None:
    assert plain("<p>We <b>miss</b> you &amp; Ben.</p><ul><li>one</li><li>two</li></ul>a<br>b") == (
        "We miss you & Ben.\none\ntwo\na\nb"
    )


def test_a_heading_is_underlined_where_it_fits() -> None:
    assert underlined("Your code") == "Your code\n---------"
    assert "---" not in underlined("word " * 30)


def test_a_line_holds_no_encoded_word() -> None:
    assert one_line("Pro =?utf-8?b?DQpCY2M6?= plan", 100) == "Pro = ?utf-8?b?DQpCY2M6?= plan"

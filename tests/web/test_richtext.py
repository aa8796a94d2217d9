import pytest

from app.web.richtext import rich_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Stay <b>a bit</b>", "<p>Stay <b>a bit</b></p>"),
        ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
        ("<p>kept</p><ul><li>x</li></ul>", "<p>kept</p><ul><li>x</li></ul>"),
        ("a < b & c", "<p>a &lt; b &amp; c</p>"),
        ("<script>alert(1)</script>hi", "<p>hi</p>"),
        ('<img src=x onerror="alert(1)">hi', "<p>hi</p>"),
        ('<b style="color:red" onclick="x()">b</b>', "<p><b>b</b></p>"),
        ('<a href="javascript:alert(1)">x</a>', '<p><a rel="noopener noreferrer nofollow">x</a></p>'),
        (
            '<a href="https://a.example/?b=1&c=2">x</a>',
            '<p><a href="https://a.example/?b=1&amp;c=2" rel="noopener noreferrer nofollow">x</a></p>',
        ),
        ("<form><input name=csrf_token>x</form>", "<p>x</p>"),
        ("<b>never closed", "<p><b>never closed</b></p>"),
        ("", ""),
    ],
)
def test_rich_text_keeps_a_little_markup_and_nothing_that_acts(text: str, shown: str) -> None:
    assert rich_text(text) == shown

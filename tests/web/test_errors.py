"""What a person sees when something is wrong: a page with a way on, and nothing of our insides."""

import pytest

from tests.web.conftest import SHARED, Probe


@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/nowhere", 404, "There is no page here"),
        ("/probe/form", 405, "This page cannot be used like that"),
        ("/probe/raise/framework", 403, "This page needs to be reloaded"),
        ("/probe/raise/teapot", 418, "This did not work"),
        ("/probe/raise/slow-down", 429, "Too many requests"),
        ("/probe/raise/conflict", 409, "This did not work"),
        ("/probe/raise/bug", 500, "Something went wrong on our side"),
    ],
)
async def test_every_error_is_a_page_with_words_for_a_person(
    probe: Probe, path: str, status: int, heading: str
) -> None:
    page = await probe.visitor.open(path, status=status)
    assert page.h1 == heading
    assert SHARED not in page.response.text
    assert "internal words" not in page.response.text


async def test_a_bug_is_logged_under_the_reference_that_the_page_shows(
    probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    page = await probe.visitor.open("/probe/raise/bug", status=500)
    reference = page.text.rsplit("Reference ", 1)[1].split()[0]
    logged = capsys.readouterr().err
    assert reference in logged
    assert SHARED in logged
    assert "leavewell.test" not in logged  # no variables: they hold what a request holds


async def test_a_visitors_mistake_is_no_error_of_ours(
    probe: Probe, capsys: pytest.CaptureFixture[str]
) -> None:
    await probe.visitor.open("/nowhere", status=404)
    assert "request failed" not in capsys.readouterr().err


async def test_htmx_gets_the_error_as_the_fragment_it_swaps(probe: Probe) -> None:
    page = await probe.visitor.open("/nowhere", status=404, partial=True)
    assert page.h1 == "There is no page here"
    assert not page.root.all("html")


async def test_errors_say_what_would_work(probe: Probe) -> None:
    client = probe.visitor.client
    assert (await client.get("/probe/raise/slow-down")).headers["retry-after"] == "7"
    assert "POST" in (await client.get("/probe/form")).headers["allow"]


async def test_a_head_request_to_a_missing_page_has_no_body(probe: Probe) -> None:
    answer = await probe.visitor.client.head("/nowhere")
    assert (answer.status_code, answer.content) == (404, b"")

"""Presses a button by what it does, whatever its words are."""

from collections.abc import Mapping

from tests.support.pages import Page, Visitor


async def press(
    visitor: Visitor, page: Page, action: str, fields: Mapping[str, str | bool] | None = None
) -> Page:
    """Press it; of an offer's options, the first one is taken unless `fields` say otherwise."""
    words = next((button.text for button in page.root.all("button") if button["value"] == action), None)
    assert words is not None, f"no button for {action!r} at {page.path}; there are {page.buttons}"
    chosen = dict(fields or {})
    options = [control for control in page.root.all("input") if control["name"] == "option"]
    if action == "accept" and options and options[0]["type"] == "radio":
        chosen.setdefault("option", options[0]["value"])
    return await visitor.submit(page, words, chosen)

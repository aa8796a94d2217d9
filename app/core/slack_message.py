"""Word of a session that is over, as Slack's Block Kit has it. Pure; amounts and times come written already.

What customers typed stands in plain-text blocks, where nothing is markup, a mention or a link; all else is escaped.
No address and no name is in it: what Slack keeps, nobody here can erase.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.core.state import Outcome

MOST_WORDS: Final = 500  # of what a customer wrote
_MOST_FIELD: Final = 300
_EDGE: Final = re.compile(r"(?<!\w)[*_~`]|[*_~`](?!\w)")
_ZERO_WIDTH: Final = "\N{ZERO WIDTH SPACE}"

TITLES: Final[Mapping[Outcome, tuple[str, str]]] = {
    Outcome.CANCELED: (":wave:", "Canceled"),
    Outcome.KEPT: (":tada:", "Kept the subscription"),
    Outcome.DISCOUNT_ACCEPTED: (":tada:", "Stays, with a discount"),
    Outcome.PAUSE_ACCEPTED: (":double_vertical_bar:", "Stays, after a pause"),
    Outcome.PLAN_SWITCHED: (":tada:", "Stays, on another plan"),
    Outcome.TRIAL_EXTENDED: (":tada:", "Goes on trying"),
    Outcome.SUPPORT_REQUESTED: (":speech_balloon:", "Asked for support instead"),
    Outcome.REDIRECTED: (":arrow_right:", "Followed the offer’s link instead"),
    Outcome.UNCANCELED: (":tada:", "Took the cancellation back"),
    Outcome.RESUMED: (":tada:", "Resumed after a pause"),
    Outcome.MANUAL_CANCELLATION_REQUESTED: (":warning:", "Wants to cancel: one of you has to do it"),
    Outcome.CANCEL_ALREADY_SCHEDULED: (":wave:", "Had canceled already"),
    Outcome.DISMISSED: (":grey_question:", "Left without deciding"),
    Outcome.EXPIRED: (":grey_question:", "Left without deciding"),
}
_LOST: Final = frozenset(
    {Outcome.CANCELED, Outcome.MANUAL_CANCELLATION_REQUESTED, Outcome.CANCEL_ALREADY_SCHEDULED}
)
_OPEN: Final = frozenset({Outcome.DISMISSED, Outcome.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What is told. `price` and `offer` are for people; `said` is what the customer typed, place by place."""

    outcome: Outcome
    brand_name: str
    mode: str
    session_id: str
    customer_id: str
    at: str
    plan: str | None = None
    price: str | None = None
    reason: str | None = None
    offer: str | None = None
    said: Sequence[str] = ()
    used_exit: bool = False


def compose(word: Word) -> dict[str, Any]:
    """The body to post. `text` is what notifications and screen readers get."""
    icon, title = TITLES[word.outcome]
    fields = [
        (name, value)
        for name, value in (
            ("Plan", word.plan),
            (_worth(word.outcome), word.price),
            ("Reason", word.reason),
            ("Took", word.offer),
        )
        if value
    ]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": f"{icon} {title}", "emoji": True}}
    ]
    if fields:
        told = [_marked(f"*{name}*\n{escape(value)}") for name, value in fields]
        blocks.append({"type": "section", "fields": told})
    for words in word.said:
        quoted = {"type": "plain_text", "text": f"“{_short(words, MOST_WORDS)}”", "emoji": False}
        blocks.append({"type": "section", "text": quoted})
    blocks.append({"type": "context", "elements": [_marked(_context(word))]})
    summary = [title, *(value for name, value in fields if name in ("Plan", "Reason"))]
    return {
        "text": escape(" · ".join(summary)),
        "blocks": blocks,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def compose_test(*, brand_name: str, mode: str) -> dict[str, Any]:
    """The message of `leavewell slack test`."""
    said = escape(f"Leavewell reaches this channel: sessions of {brand_name} ({mode}) will be told here.")
    return {"text": said, "unfurl_links": False, "unfurl_media": False}


def escape(text: str) -> str:
    """Text that Slack shows as it is: no link, no mention, nothing bold."""
    one_line = " ".join(_short(text, _MOST_FIELD).split())
    plain = one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _EDGE.sub(lambda found: f"{_ZERO_WIDTH}{found[0]}", plain)


def _marked(text: str) -> dict[str, Any]:
    """Markup of ours around escaped text. Verbatim: else Slack makes a link of whatever looks like one."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _worth(outcome: Outcome) -> str:
    if outcome in _LOST:
        return "Lost"
    return "At stake" if outcome in _OPEN else "Saved"


def _context(word: Word) -> str:
    parts = [
        word.brand_name,
        *(["test"] if word.mode == "test" else []),
        f"customer {word.customer_id}",
        f"session {word.session_id}",
        *(["left by Cancel now"] if word.used_exit else []),
        word.at,
    ]
    return "  ·  ".join(escape(part) for part in parts)


def _short(text: str, most: int) -> str:
    cut = text.strip()
    return cut if len(cut) <= most else f"{cut[: most - 1].rstrip()}…"

"""Every mail in every state, with believable data: for tests, and for looking at.

`python -m tests.support.mail_gallery FOLDER [NAME...]` writes each (or those whose names begin so) as .eml, .html and
.txt, and as pictures: light and dark, in 320 and in 600 pixels.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from app.db.tables.accounts import Environment
from app.mail.composing import Composed, compose
from app.mail.kinds import MailKind
from tests.support.browser import launched
from tests.support.gallery import SCHEMES, renderer

WIDTHS = (320, 600)
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ASKED = "2026-11-21T08:59:30Z"
BASE = "https://leave.northwind.example/cancel"
PAGE = f"{BASE}/receipts/rcp_3f0cb51d9a7e4c2288f1d0aa.hY2v6s0mXcVdR3b9w1qkzA"
LONG = "The Quite Extraordinarily Long-Named Northwind Trading and Notebook Company of Greater Copenhagen and Malmö"


@dataclass(frozen=True)
class Shown:
    """One mail to look at."""

    name: str
    kind: MailKind
    data: Mapping[str, Any]
    brand: str = "Northwind Notes"
    recipient: str = "ben@example.com"
    locale: str = "en"
    environment: Mapping[str, Any] = field(default_factory=dict)

    def composed(self) -> Composed:
        return compose(
            renderer(),
            environment=environment(**self.environment),
            brand_name=self.brand,
            mail_id="mail_5e2d8c31f09ab7d466120c9e",
            kind=self.kind,
            recipient=self.recipient,
            locale=self.locale,
            data=self.data,
            sender_default="leave@leavewell.example",
            now=NOW,
        )

    def text(self) -> str:
        return part(self.composed(), "plain")

    def html(self) -> str:
        return part(self.composed(), "html")


def part(composed: Composed, subtype: str) -> str:
    body = composed.message.get_body((subtype,))
    assert body is not None
    content = body.get_content()
    assert isinstance(content, str)
    return content


def environment(**changes: Any) -> Environment:
    values = {
        "app_id": "app_1",
        "organization_id": "org_1",
        "mode": "live",
        "contact_email": "help@northwind.example",
        "contact_url": "https://northwind.example/help",
        "theme": {"brand": "#1f6655", "radius": 12},
        "sender_address": "leave@northwind.example",
        "created_at": NOW,
        **changes,
    }
    return Environment(**values)


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD", "interval": "month", "intervalCount": 1}


def charge(at: str, amount: int) -> dict[str, Any]:
    return {"at": at, "amount": amount, "currency": "USD"}


def content(kind: str = "cancellation", status: str = "confirmed", **changes: Any) -> dict[str, Any]:
    """A receipt's content, as app/core/receipt.py builds it."""
    facts = {
        "newPlan": None,
        "priceBefore": None,
        "price": None,
        "nextCharge": None,
        "backTo": None,
        "resumesAt": None,
        "trialEndsAt": None,
        "endsAt": None,
        "endsNow": False,
        **changes.pop("facts", {}),
    }
    return {
        "version": 1,
        "id": "rcp_3f0cb51d9a7e4c2288f1d0aa",
        "reference": "LW-3F0C-B51D",
        "type": kind,
        "status": status,
        "merchant": {
            "name": "Northwind Notes",
            "appId": "app_1",
            "mode": "live",
            "email": "help@northwind.example",
            "url": "https://northwind.example/help",
        },
        "customerId": "cus_ben",
        "email": None,
        "locale": "en",
        "timeZone": "Europe/Copenhagen",
        "issuedAt": "2026-11-21T09:00:00Z",
        "flowVersion": "fv_1",
        "sessionId": "cs_3f0cb51d9a7e4c2288f1d0aa",
        "subscriptionId": "sub_ben_pro",
        "requestedAt": "2026-11-21T08:58:12Z",
        "confirmedAt": "2026-11-21T08:58:14Z" if status == "confirmed" else None,
        "plan": "Pro",
        "facts": facts,
        "offer": None,
        "undoUntil": None,
        "providerReference": None,
        "reasons": [],
        **changes,
    }


def receipt(name: str, said: dict[str, Any], **changes: Any) -> Shown:
    file = {"name": f"receipt-{said['reference']}.json", "json": '{"receipt": {}}'}
    data = {
        "content": said,
        "page_url": PAGE,
        "undo_url": f"{PAGE}#undo" if said["undoUntil"] else None,
        "file": file,
    }
    return Shown(name, MailKind.RECEIPT, data, **changes)


ENDS = {"endsAt": "2026-12-01T00:00:00Z"}
HALF = {
    "id": "half",
    "decisionId": "dec_1",
    "kind": "discount",
    "headline": "Half price for three months?",
    "body": "We would like to keep you. <b>Pro</b> at half price &amp; with everything in it.",
    "option": None,
}
FACTS: dict[str, dict[str, Any]] = {
    "cancellation": {"facts": ENDS},
    "cancellation_request": {},
    "discount": {
        "facts": {
            "priceBefore": usd(2900),
            "price": usd(1450),
            "nextCharge": charge("2026-12-01T00:00:00Z", 1450),
            "backTo": charge("2027-03-01T00:00:00Z", 2900),
        },
        "offer": HALF,
    },
    "pause": {
        "facts": {
            "resumesAt": "2027-02-01T00:00:00Z",
            "nextCharge": charge("2027-02-01T00:00:00Z", 2900),
        },
        "offer": {
            **HALF,
            "kind": "pause",
            "headline": "Take a break",
            "body": "Come back when you need it.\n\nWe keep everything for you.",
        },
    },
    "plan_change": {
        "plan": None,
        "facts": {
            "newPlan": "Lite",
            "priceBefore": usd(2900),
            "price": usd(900),
            "nextCharge": charge("2026-12-01T00:00:00Z", 900),
        },
    },
    "trial_extension": {
        "facts": {
            "trialEndsAt": "2026-12-12T09:00:00Z",
            "nextCharge": charge("2026-12-12T09:00:00Z", 2900),
        }
    },
    "uncancel": {"facts": {"price": usd(2900), "nextCharge": charge("2026-12-01T00:00:00Z", 2900)}},
    "resume": {"facts": {"price": usd(2900), "nextCharge": charge("2026-11-21T09:00:00Z", 2900)}},
}
STATUSES = ("requested", "confirmed", "failed")

NOTICE = {
    "reference": "LW-77AA-0B1C",
    "requested_at": "2026-11-21T08:58:12Z",
    "address": None,
    "note": None,
    "reasons": ["foreign_pause", "several_items"],
    "customer_id": "cus_ben",
    "subscription_id": "sub_ben_pro",
    "mode": "live",
}
UNVERIFIED = {
    **NOTICE,
    "address": "ben@example.com",
    "note": "Please cancel my Pro plan.\nI lost access to my account <b>weeks</b> ago & nobody answers.\n\nBen",
    "reasons": ["email_not_verified"],
    "customer_id": None,
    "subscription_id": None,
}
REMINDER = {
    "plan": "Pro",
    "resumes_at": "2026-11-24T00:00:00Z",
    "price": usd(2900),
    "next_charge": charge("2026-11-24T00:00:00Z", 2900),
    "reference": "LW-3F0C-B51D",
}

REFUSED = {
    "app_id": "app_3f0cb51d7a2e4c6890ab12cd",
    "provider": "stripe",
    "reason": "Stripe does not accept the key: it may not write subscriptions <rak_subscription_write>.",
    "refused_at": "2026-11-21T08:58:12Z",
}

SWITCHED_OFF = {
    "app_id": "app_3f0cb51d7a2e4c6890ab12cd",
    "endpoint_id": "whk_0a1b2c3d4e5f60718293a4b5",
    "url": "https://hooks.northwind.example/leavewell",
    "reason": "failing",
    "error": "The server refused the connection.",
    "failing_since": "2026-11-18T08:58:12Z",
    "disabled_at": "2026-11-21T09:31:40Z",
}


def codes() -> Iterator[Shown]:
    data = {"code": "048213", "minutes": 10, "asked_at": ASKED}
    yield Shown("code", MailKind.CODE, data)
    yield Shown("code-test", MailKind.CODE, data, environment={"mode": "test"})
    yield Shown(
        "code-plain",
        MailKind.CODE,
        data,
        brand="K",
        environment={"theme": {}, "contact_email": None, "contact_url": None},
    )
    yield Shown(
        "code-long",
        MailKind.CODE,
        data,
        brand=LONG,
        recipient=f"{'a-very-long-name-' * 3}ben@{'sub.' * 12}example.com",
        environment={"mode": "test", "theme": {"brand": "#ffee00", "radius": 0, "font": "serif"}},
    )
    yield Shown("not-found", MailKind.NOT_FOUND, {"entry_url": f"{BASE}/app_1", "asked_at": ASKED})
    yield Shown("not-found-bare", MailKind.NOT_FOUND, {})


def receipts() -> Iterator[Shown]:
    for kind, status in product(FACTS, STATUSES):
        yield receipt(f"receipt-{kind}-{status}", content(kind, status, **FACTS[kind]))
    undo = {"undoUntil": "2026-12-01T00:00:00Z", "facts": ENDS}
    yield receipt("receipt-undo", content(**undo))
    yield receipt("receipt-undo-utc", content(**undo, timeZone=None))
    moved = {
        "renewsBefore": "2027-06-17T00:00:00Z",
        "renewsAt": "2027-08-17T00:00:00Z",
        "resumesAt": "2027-01-21T09:00:00Z",
        "nextCharge": charge("2027-08-17T00:00:00Z", 29000),
    }
    for status in STATUSES:
        yield receipt(f"receipt-break-{status}", content("pause", status, facts=moved))
    taxed = {**FACTS["discount"]["facts"], "tax": "included"}
    yield receipt("receipt-with-tax", content("discount", facts=taxed))
    yield receipt("receipt-ended", content(facts={"endsNow": True}))
    yield receipt("receipt-ends-at-once", content(status="requested", facts={"endsNow": True}))
    yield receipt(
        "receipt-american", content(**undo, locale="en-US", timeZone="America/New_York"), locale="en-US"
    )
    yield receipt(
        "receipt-long",
        content(**{**undo, "plan": f"{LONG} – " * 2, "timeZone": "America/Argentina/ComodRivadavia"}),
        brand=LONG,
        environment={"theme": {"brand": "#101010", "radius": 24, "font": "rounded"}, "mode": "test"},
    )
    yield receipt(
        "receipt-world",
        content("discount", facts={"priceBefore": {**usd(290000), "currency": "JPY"}}, plan="プロプラン年額"),
        brand="株式会社ノースウィンド・ノーツ",
        recipient="日本@例え.jp",
        environment={"theme": {"brand": "#e91e63"}},
    )


def others() -> Iterator[Shown]:
    yield Shown("pause-reminder", MailKind.PAUSE_REMINDER, REMINDER)
    yield Shown("pause-reminder-entry", MailKind.PAUSE_REMINDER, {**REMINDER, "entry_url": f"{BASE}/app_1"})
    paid = {
        "plan": "Pro yearly",
        "renews_at": "2027-08-17T00:00:00Z",
        "next_charge": charge("2027-08-17T00:00:00Z", 29000),
    }
    yield Shown("pause-reminder-paid", MailKind.PAUSE_REMINDER, {**REMINDER, **paid})
    yield Shown("pause-reminder-bare", MailKind.PAUSE_REMINDER, {"resumes_at": "2026-11-24T00:00:00Z"})
    shop = {"recipient": "help@northwind.example"}
    yield Shown("manual-notice", MailKind.MANUAL_NOTICE, NOTICE, **shop)
    yield Shown("manual-notice-unverified", MailKind.MANUAL_NOTICE, UNVERIFIED, **shop)
    yield Shown(
        "manual-notice-long",
        MailKind.MANUAL_NOTICE,
        {**UNVERIFIED, "note": "x" * 1000 + " " + "words and " * 100, "reasons": ["something_else"]},
        **shop,
    )
    asked = {"reference": "LW-77AA-0B1C", "requested_at": "2026-11-21T08:58:12Z", "page_url": None}
    yield Shown("request-received", MailKind.REQUEST_RECEIVED, asked)
    yield Shown("request-received-page", MailKind.REQUEST_RECEIVED, {**asked, "page_url": PAGE})
    yield Shown("connection-refused", MailKind.CONNECTION_REFUSED, REFUSED, **shop)
    yield Shown(
        "connection-refused-long", MailKind.CONNECTION_REFUSED, {**REFUSED, "reason": "x" * 500}, **shop
    )
    yield Shown("webhook-disabled", MailKind.WEBHOOK_DISABLED, SWITCHED_OFF, **shop)
    gone = {"reason": "gone", "error": None, "failing_since": None, "url": "https://example.com/" + "x" * 300}
    yield Shown("webhook-disabled-gone", MailKind.WEBHOOK_DISABLED, {**SWITCHED_OFF, **gone}, **shop)
    yield Shown("test", MailKind.TEST, {})


ROOMS = (codes, receipts, others)
GALLERY = {shown.name: shown for room in ROOMS for shown in room()}


def write(folder: Path, mails: list[Shown]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with launched() as browser:
        for scheme, width in product(SCHEMES, WIDTHS):
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": 500}, java_script_enabled=False
            )
            tab = context.new_page()
            for mail in mails:
                (folder / f"{mail.name}.eml").write_bytes(mail.composed().message.as_bytes())
                (folder / f"{mail.name}.html").write_text(mail.html(), "utf-8")
                (folder / f"{mail.name}.txt").write_text(mail.text(), "utf-8")
                tab.set_content(mail.html())
                tab.screenshot(path=folder / f"{mail.name}-{scheme}-{width}.png", full_page=True)
            context.close()


if __name__ == "__main__":
    beginnings = tuple(sys.argv[2:]) or ("",)
    write(Path(sys.argv[1]), [mail for name, mail in GALLERY.items() if name.startswith(beginnings)])

"""Reads the data of each kind of mail into what its templates print. Pure but for the catalogue; renders nothing.

The data is plain JSON, kept since the mail was owed: what is optional may be missing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from app.core.calendar import parse_moment
from app.core.receipt import ReceiptStatus, ReceiptType, charge_from_wire, price_from_wire, summary_in
from app.core.summary import Charge, Price, Summary
from app.mail.kinds import MailKind
from app.mail.typeset import lines_of, one_line, plain
from app.web.copy import Copy
from app.web.formats import Formats, zone_of
from app.web.richtext import rich_text

LONGEST_NAME: Final = 200
LONGEST_URL: Final = 300
_DAYS: Final = (
    ("ends", "endsAt"),
    ("resumes", "resumesAt"),
    ("renews", "renewsAt"),
    ("trial_ends", "trialEndsAt"),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A row of a mail; `note` says the value in another way."""

    label: str
    value: str
    note: str | None = None
    is_strong: bool = False


@dataclass(frozen=True, slots=True)
class File:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Letter:
    """What one mail says. `said` are the values that its templates name, `subject` those a merchant's subject may."""

    title: str
    facts: tuple[Fact, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict)
    subject: Mapping[str, str] = field(default_factory=dict)
    reply_to: str | None = None
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True)
class Pen:
    """With what a letter is written: one language, one merchant."""

    copy: Copy
    formats: Formats
    brand: str

    def t(self, key: str, **args: object) -> str:
        return self.copy.t(key, **args)

    def price(self, price: Price) -> str:
        if price.interval is None:
            return self.formats.money(price.money)
        every = self.formats.interval(price.interval, price.interval_count)
        return self.t("price.per", amount=self.formats.money(price.money), every=every)

    def charge(self, charge: Charge, zone: str | None = None) -> str:
        amount = self.formats.money(charge.money)
        return self.t(
            "facts.charge", amount=amount, day=self.formats.short_day(by_clocks_of(zone, charge.at))
        )

    def at(self, label: str, at: datetime, zone: str | None = None, *, is_strong: bool = False) -> Fact:
        """A moment by the customer's clocks, and in UTC."""
        utc, local = self.formats.moment(at), self.formats.local(at, zone)
        return Fact(label, local or utc, utc if local else None, is_strong)


def by_clocks_of(zone: str | None, at: datetime) -> datetime:
    """The same moment where the customer lives, whose day it is named by; in UTC where that is not known."""
    return at.astimezone(zone_of(zone) or UTC)


def write(kind: MailKind, data: Mapping[str, Any], pen: Pen) -> Letter:
    """Return the letter of a mail. Raises KeyError or ValueError where `data` is not of the kind's shape."""
    return _WRITERS[kind](data, pen)


# --- Codes --------------------------------------------------------------------------------------------------------


def _code(data: Mapping[str, Any], pen: Pen) -> Letter:
    code = str(data["code"])
    said = {
        "code": code,
        "groups": (code[:3], code[3:]),
        "minutes": int(data["minutes"]),
        "asked_at": _moment(data.get("asked_at")),
    }
    return Letter(pen.t("mail.code.title"), said=said)


def _not_found(data: Mapping[str, Any], pen: Pen) -> Letter:
    said = {"entry_url": data.get("entry_url"), "asked_at": _moment(data.get("asked_at"))}
    return Letter(pen.t("mail.not_found.title"), said=said)


# --- Receipts -----------------------------------------------------------------------------------------------------


def receipt_words(content: Mapping[str, Any], pen: Pen) -> tuple[str, str]:
    """Title and lead of a receipt, wherever it is shown: what was asked for, and what became of it."""
    kind, status, facts, zone = content["type"], content["status"], content["facts"], content["timeZone"]
    is_over = status == ReceiptStatus.CONFIRMED and (facts["endsNow"] or not facts["endsAt"])
    manner = "over" if kind == ReceiptType.CANCELLATION and is_over else status
    if kind == ReceiptType.PAUSE and status == ReceiptStatus.CONFIRMED and facts.get("renewsAt"):
        manner = "moved"
    args = {
        "brand": pen.brand,
        "plan": _name(content["plan"]) or pen.t("words.subscription"),
        "new_plan": _name(facts["newPlan"]) or pen.t("words.new_plan"),
    }
    for name, key in _DAYS:
        at = _moment(facts.get(key))
        args[name] = pen.formats.day(by_clocks_of(zone, at)) if at else ""

    def said(part: str) -> str:
        own = f"receipt.{kind}.{manner}.{part}"
        return pen.t(own if own in pen.copy else f"receipt.any.{status}.{part}", **args)

    return said("title"), said("lead")


def _receipt(data: Mapping[str, Any], pen: Pen) -> Letter:
    content = data["content"]
    title, lead = receipt_words(content, pen)
    offer, file = content["offer"], data.get("file")
    body = rich_text(lines_of(offer["body"])) if offer and offer["body"] else None
    undo_url = data.get("undo_url")
    said = {
        "lead": lead,
        "reference": content["reference"],
        "page_url": data.get("page_url"),
        "undo_url": undo_url,
        "undo_until": _until(content, pen) if undo_url else None,
        "offer_headline": _name(offer["headline"]) if offer else None,
        "offer_body": body,
        "offer_text": plain(body) if body else None,
        "has_file": file is not None,
    }
    days = [content["facts"][key] for key in ("endsAt", "resumesAt", "trialEndsAt") if content["facts"][key]]
    return Letter(
        title,
        facts=_receipt_facts(content, pen),
        said=said,
        subject=_present(
            plan=_name(content["facts"]["newPlan"] or content["plan"]),
            day=pen.formats.short_day(by_clocks_of(content["timeZone"], parse_moment(days[0])))
            if days
            else None,
            reference=content["reference"],
        ),
        files=(File(str(file["name"]), str(file["json"])),) if file else (),
    )


def _until(content: Mapping[str, Any], pen: Pen) -> str | None:
    """Until when a cancellation can be taken back, by the customer's clocks where those are known."""
    at = _moment(content["undoUntil"])
    return (pen.formats.local(at, content["timeZone"]) or pen.formats.moment(at)) if at else None


def _receipt_facts(content: Mapping[str, Any], pen: Pen) -> tuple[Fact, ...]:
    """The rows of the receipt's page, in its order. What came to nothing has no figures: none of them holds."""
    known, t, zone = summary_in(content), pen.t, content["timeZone"]
    if content["status"] == ReceiptStatus.FAILED:
        known = Summary(plan=known.plan)
    rows = [
        Fact(t("facts.plan"), _name(known.plan)) if known.plan else None,
        Fact(t("facts.new_plan"), _name(known.new_plan)) if known.new_plan else None,
        Fact(t("facts.price_before"), pen.price(known.price_before)) if known.price_before else None,
        Fact(t("facts.price"), pen.price(known.price)) if known.price else None,
        Fact(t("facts.next_charge"), pen.charge(known.next_charge, zone)) if known.next_charge else None,
        _back_to(known.back_to, pen, zone) if known.back_to else None,
        _renewal(known.renews_before, known.renews_at, pen, zone),
        Fact(t("facts.tax"), t(f"facts.tax_{known.tax}")) if known.tax else None,
        pen.at(t("facts.resumes"), known.resumes_at, zone, is_strong=True) if known.resumes_at else None,
        pen.at(t("facts.trial_ends"), known.trial_ends_at, zone, is_strong=True)
        if known.trial_ends_at
        else None,
        _end(known.ends_at, content, pen) if content["status"] != ReceiptStatus.FAILED else None,
        pen.at(t("receipt.rows.requestedAt"), parse_moment(content["requestedAt"]), zone),
        pen.at(t("receipt.rows.confirmedAt"), parse_moment(content["confirmedAt"]), zone)
        if content["confirmedAt"]
        else None,
        Fact(t("facts.reference"), content["reference"]),
    ]
    return tuple(row for row in rows if row is not None)


def _end(ends_at: datetime | None, content: Mapping[str, Any], pen: Pen) -> Fact | None:
    if ends_at is not None:
        return pen.at(pen.t("facts.ends"), ends_at, content["timeZone"], is_strong=True)
    return (
        Fact(pen.t("facts.ends"), pen.t("receipt.at_once"), is_strong=True)
        if content["facts"]["endsNow"]
        else None
    )


def _back_to(charge: Charge, pen: Pen, zone: str | None) -> Fact:
    label = pen.t("facts.back_to", amount=pen.formats.money(charge.money))
    return Fact(label, pen.t("facts.from", day=pen.formats.short_day(by_clocks_of(zone, charge.at))))


def _renewal(
    before: datetime | None, after: datetime | None, pen: Pen, zone: str | None = None
) -> Fact | None:
    """A renewal that has moved, and from where."""
    if after is None:
        return None
    day = pen.formats.short_day(by_clocks_of(zone, after))
    if before is None:
        return Fact(pen.t("facts.renews"), day)
    was = pen.formats.short_day(by_clocks_of(zone, before))
    return Fact(pen.t("facts.renews"), pen.t("facts.instead_of", day=day, before=was))


# --- Pauses, requests, connections, webhooks, tests -------------------------------------------------------------------


def _pause_reminder(data: Mapping[str, Any], pen: Pen) -> Letter:
    resumes_at, plan, reference = (
        parse_moment(data["resumes_at"]),
        _name(data.get("plan")),
        data.get("reference"),
    )
    charge, price = charge_from_wire(data.get("next_charge")), price_from_wire(data.get("price"))
    renews_at = _moment(data.get("renews_at"))
    rows = [
        Fact(pen.t("facts.plan"), plan) if plan else None,
        Fact(pen.t("facts.resumes"), pen.formats.day(resumes_at), is_strong=True),
        _renewal(None, renews_at, pen),
        Fact(pen.t("facts.price"), pen.price(price)) if price else None,
        Fact(pen.t("facts.next_charge"), pen.charge(charge)) if charge else None,
        Fact(pen.t("facts.reference"), reference) if reference else None,
    ]
    day = pen.formats.short_day(resumes_at)
    return Letter(
        pen.t("mail.pause_reminder.title_paid" if renews_at else "mail.pause_reminder.title", day=day),
        facts=tuple(row for row in rows if row is not None),
        said={
            "plan": plan or pen.t("words.subscription"),
            "day": day,
            "amount": pen.formats.money(charge.money) if charge else None,
            "renews": pen.formats.short_day(renews_at) if renews_at else None,
            "entry_url": data.get("entry_url"),
        },
        subject=_present(plan=plan, day=day, reference=reference),
    )


def _manual_notice(data: Mapping[str, Any], pen: Pen) -> Letter:
    address, note, reference = data.get("address"), data.get("note"), data["reference"]
    customer, subscription = data.get("customer_id"), data.get("subscription_id")
    label = "mail.manual_notice.rows"
    rows = [
        Fact(pen.t(f"{label}.address"), address) if address else None,
        Fact(pen.t(f"{label}.customer"), _name(customer)) if customer else None,
        Fact(pen.t(f"{label}.subscription"), _name(subscription)) if subscription else None,
        pen.at(pen.t("facts.requested"), parse_moment(data["requested_at"])),
        Fact(pen.t("facts.reference"), reference),
    ]
    return Letter(
        pen.t("mail.manual_notice.title"),
        facts=tuple(row for row in rows if row is not None),
        said={
            # Whoever is known by an address alone is not known at all: nobody has proven it.
            "is_verified": customer is not None,
            "address": address,
            "reference": reference,
            "note": lines_of(note) if note else None,
            "reasons": tuple(_reason(str(reason), pen) for reason in data.get("reasons") or ()),
        },
        subject={"reference": reference},
        reply_to=address,
    )


def _reason(reason: str, pen: Pen) -> str:
    key = f"mail.manual_notice.reasons.{reason}"
    return pen.t(key) if key in pen.copy else _name(reason)


def _request_received(data: Mapping[str, Any], pen: Pen) -> Letter:
    reference = data["reference"]
    return Letter(
        pen.t("mail.request_received.title"),
        facts=(
            pen.at(pen.t("facts.requested"), parse_moment(data["requested_at"])),
            Fact(pen.t("facts.reference"), reference),
        ),
        said={"page_url": data.get("page_url"), "reference": reference},
        subject={"reference": reference},
    )


def _connection_refused(data: Mapping[str, Any], pen: Pen) -> Letter:
    app_id = str(data["app_id"])
    return Letter(
        pen.t("mail.connection_refused.title"),
        facts=(
            Fact(pen.t("mail.connection_refused.rows.provider"), _name(data["provider"])),
            Fact(pen.t("mail.connection_refused.rows.app_id"), app_id),
            pen.at(pen.t("mail.connection_refused.rows.refused_at"), parse_moment(data["refused_at"])),
        ),
        said={
            "reason": lines_of(str(data["reason"])),
            "command": f"leavewell setup provider {app_id} {_name(data['provider'])} …",
        },
    )


def _webhook_disabled(data: Mapping[str, Any], pen: Pen) -> Letter:
    app_id, endpoint_id = str(data["app_id"]), str(data["endpoint_id"])
    since, error = _moment(data.get("failing_since")), data.get("error")
    rows = [
        Fact(pen.t("mail.webhook_disabled.rows.endpoint"), endpoint_id),
        Fact(pen.t("mail.webhook_disabled.rows.app_id"), app_id),
        pen.at(pen.t("mail.webhook_disabled.rows.failing_since"), since) if since else None,
        pen.at(pen.t("mail.webhook_disabled.rows.disabled_at"), parse_moment(data["disabled_at"])),
    ]
    return Letter(
        pen.t("mail.webhook_disabled.title"),
        facts=tuple(row for row in rows if row is not None),
        said={
            "is_gone": data["reason"] == "gone",
            "url": one_line(str(data["url"]), LONGEST_URL),
            "error": lines_of(str(error)) if error else None,
            "commands": (
                f"leavewell webhooks test {app_id} {endpoint_id}",
                f"leavewell webhooks enable {app_id} {endpoint_id}",
                f"leavewell webhooks redeliver {app_id} {endpoint_id} --since …",
            ),
        },
    )


def _test(data: Mapping[str, Any], pen: Pen) -> Letter:
    return Letter(pen.t("mail.test.title"))


_WRITERS: Final[Mapping[MailKind, Callable[[Mapping[str, Any], Pen], Letter]]] = {
    MailKind.CODE: _code,
    MailKind.NOT_FOUND: _not_found,
    MailKind.RECEIPT: _receipt,
    MailKind.PAUSE_REMINDER: _pause_reminder,
    MailKind.MANUAL_NOTICE: _manual_notice,
    MailKind.REQUEST_RECEIVED: _request_received,
    MailKind.CONNECTION_REFUSED: _connection_refused,
    MailKind.WEBHOOK_DISABLED: _webhook_disabled,
    MailKind.TEST: _test,
}


def _name(text: str | None) -> str:
    return one_line(text, LONGEST_NAME) if text else ""


def _moment(text: str | None) -> datetime | None:
    return parse_moment(text) if text else None


def _present(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}

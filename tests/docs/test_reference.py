"""What the documentation lists is what there is in the code, both ways; its links lead somewhere."""

import re
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from app.core import billing, direct, eligibility, facts, flow, limits, state
from app.core.codes import success_bound
from app.core.events import EventType
from app.core.rules.operators import Op
from app.flows.files import load_yaml
from app.links import forms
from app.links import service as links_service
from app.mail.kinds import SUBJECT_FIELDS, MailStatus
from app.settings import Settings
from tests.docs import pages

README = pages.ROOT / "README.md"
FLOWS = pages.ROOT / "docs" / "flows.md"
INTEGRATION = pages.ROOT / "docs" / "integration.md"
OPERATIONS = pages.ROOT / "docs" / "operations.md"
WEBHOOKS = pages.ROOT / "docs" / "webhooks.md"
EVERY_PAGE = pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)

MODELS = {
    name: model
    for module in (flow, forms, billing)
    for name, model in vars(module).items()
    if isinstance(model, type) and issubclass(model, BaseModel)
}
# Fields that a heading or another table says for all: a kind's own name, and what every step and offer has.
SAID_ABOVE = {"kind", "type"} | set(flow.StepBase.model_fields) | {"when", "cooldown_days", "copy"}
BASES = {"StepBase", "OfferBase", "Reason", "Branch", "FlowDefinition", "MintBody", "OfferCopy"}
FIELD_TABLES = [
    table for page in (FLOWS, INTEGRATION) for table in pages.tables(page) if table.kind == "fields"
]


# --- Tables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", FIELD_TABLES, ids=lambda table: " ".join(table.subjects))
def test_every_field_is_documented_and_no_other(table: pages.Table) -> None:
    expected = {name for subject in table.subjects for name in fields_of(subject)}
    if table.rows[0][0] in {
        f"`{kind}`" for kind in changes()
    }:  # one row a change, its fields in the second cell
        assert set(table.names()) == changes()
        documented = {name for row in table.rows for name in re.findall(r"`([A-Za-z]+)`", row[1])}
        assert documented - {"period_end", "now"} == expected
    else:
        assert set(table.names()) == expected


def test_no_part_of_a_flow_is_left_out() -> None:
    documented = {subject for table in FIELD_TABLES for subject in table.subjects}
    kinds = {
        kind.__name__ for kind in (*get_args(get_args(flow.Step)[0]), *get_args(get_args(flow.Offer)[0]))
    }
    assert kinds <= documented
    for kind in kinds:
        assert re.search(rf"^### {kind_name(kind)}$", pages.read(FLOWS), re.MULTILINE)


@pytest.mark.parametrize("reasons", [eligibility.Blocker, eligibility.ManualReason])
def test_reasons_are_those_of_the_code(reasons: type[StrEnum]) -> None:
    expected = [(f"`{reason}`", reason.sentence) for reason in reasons]  # type: ignore[attr-defined] - every _Named has a sentence
    assert list(pages.table(FLOWS, reasons.__name__).rows) == expected


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("LinkState", set(links_service.LinkState)),
        ("Outcome", set(state.Outcome)),
        ("MailStatus", set(MailStatus)),
        ("EventType", set(EventType)),
        (
            "SubscriptionStatus",
            {kind.model_fields["name"].default for kind in get_args(get_args(direct.SubscriptionStatus)[0])},
        ),
    ],
)
def test_words_are_those_of_the_code(subject: str, expected: set[str]) -> None:
    page = {"MailStatus": OPERATIONS, "EventType": WEBHOOKS}.get(subject, INTEGRATION)
    assert set(pages.table(page, subject).names()) == expected


def test_attributes_and_their_types_are_those_of_the_code() -> None:
    rows = pages.table(FLOWS, "BuiltIns").rows
    assert {row[0].strip("`"): row[1] for row in rows} == dict(facts.BUILT_INS)


def test_operators_are_those_of_the_code() -> None:
    assert set(pages.table(FLOWS, "Operators").names()) == set(Op)


def test_flows_in_the_documentation_can_be_read() -> None:
    for page in (README, FLOWS):
        whole = [code for code in pages.blocks(page, "yaml") if "version: 1" in code]
        assert whole
        for code in whole:
            load_yaml(code, pages.name(page))


def test_what_subjects_may_say_is_that_of_the_code() -> None:
    rows = {row[0].strip("`"): row[2] for row in pages.table(OPERATIONS, "MailKind").rows}
    assert {kind: set(re.findall(r"\{(\w+)\}", said)) for kind, said in rows.items()} == {
        str(kind): set(fields) for kind, fields in SUBJECT_FIELDS.items()
    }


def test_limits_are_those_of_the_code() -> None:
    known = [one for one in vars(limits).values() if isinstance(one, limits.Limit)]
    spans = {timedelta(minutes=1): "1 minute", timedelta(hours=1): "1 hour", timedelta(days=1): "1 day"}
    said = [row[:3] for row in pages.table(OPERATIONS, "Limit").rows]
    assert sorted(said) == sorted((f"`{one.name}`", f"{one.most:,}", spans[one.window]) for one in known)


def test_the_chance_of_guessing_is_not_put_too_low() -> None:
    (said,) = re.findall(r"with a chance of at most ([\d.]+) %", pages.read(OPERATIONS).replace("\n", " "))
    assert success_bound(within=timedelta(days=1)) <= Fraction(said) / 100


# --- Settings -----------------------------------------------------------------------------------------------------


class Asked(dict[str, str]):
    """An environment that notes what is asked for."""

    def __init__(self, **given: str) -> None:
        super().__init__(given)
        self.names: set[str] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override] # as it is called
        self.names.add(name)
        return super().get(name, default)


def test_every_setting_is_in_the_table_and_no_other() -> None:
    env = Asked(LEAVEWELL_DEMO="1")
    Settings.from_env(env)
    table = pages.table(README, "Settings")
    assert set(table.names()) == {name for name in env.names if not name.endswith("_FILE")}
    assert all(name in pages.read(README) for name in env.names)


def test_defaults_in_the_table_are_those_of_the_code() -> None:
    said = {row[0].strip("`"): row[1].strip("`") for row in pages.table(README, "Settings").rows}
    fresh = Settings.from_env({"LEAVEWELL_DEMO": "1"})
    assert {name: default for name, default in said.items() if default not in ("", "required")} == {
        "LEAVEWELL_BASE_URL": "http://HOST:PORT",
        "DATABASE_URL": fresh.database_url,
        "HOST": fresh.host,
        "PORT": str(fresh.port),
        "LEAVEWELL_WORKER": fresh.worker,
        "LEAVEWELL_DEMO": "0",
        "LEAVEWELL_LOG_LEVEL": fresh.log_level,
        "LEAVEWELL_LOG_FORMAT": fresh.log_format,
        "LEAVEWELL_API_RATE": str(fresh.api_rate),
        "LEAVEWELL_LEASE_SECONDS": str(fresh.lease_s),
    }


# What stands for something else, and what everybody has: libraries, specifications, vendors' interfaces.
PUBLIC = {
    "litestar.dev",
    "www.standardwebhooks.com",
    "modelcontextprotocol.io",
    "hooks.slack.com",
    "api.paddle.com",
    "sandbox-api.paddle.com",
    "SUBDOMAIN.ebilling.maxio.com",
}


# --- Pages --------------------------------------------------------------------------------------------------------


@EVERY_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in pages.links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in pages.anchors(file), target


@EVERY_PAGE
def test_no_page_names_a_place_of_ours(page: Path) -> None:
    """Only hosts that everybody has, and no path of the machine on which it was written."""
    hosts = set(re.findall(r"https?://([\w.-]+)", pages.read(page)))
    named = r"(^|\.)example(\.com)?$|^127\.0\.0\.1$|^HOST$|^YOUR-HOST$"
    assert {host for host in hosts if not re.search(named, host)} <= PUBLIC
    assert not re.search(r"(?<![\w.~])/(work|root|home|tmp|Users)\b", pages.read(page))


@EVERY_PAGE
def test_no_paragraph_is_cut_by_a_long_line(page: Path) -> None:
    """Code is read in a column that does not wrap."""
    for code in re.findall(r"^```\w*\n(.*?)^```$", pages.read(page), re.MULTILINE | re.DOTALL):
        assert max(map(len, code.splitlines())) <= 120


def test_the_picture_of_the_floors_has_every_room() -> None:
    picture = pages.read(pages.ROOT / "docs" / "images" / "floors.svg")
    rooms = {file.stem for file in (pages.ROOT / "app").iterdir() if not file.name.startswith("__")}
    assert set(re.findall(r'class="name[^"]*"[^>]*>(\w+)<', picture)) == rooms


@pytest.mark.parametrize("page", [README], ids=pages.name)
def test_pictures_are_small(page: Path) -> None:
    pictures = [page.parent / target for target in pages.links(page) if target.endswith(".png")]
    assert len(pictures) == 6
    assert all(picture.stat().st_size <= 150 * 1024 for picture in pictures)


# --- Names --------------------------------------------------------------------------------------------------------


def changes() -> set[str]:
    return {kind.model_fields["type"].default for kind in get_args(get_args(billing.Change)[0])}


def fields_of(subject: str) -> Iterator[str]:
    for name, field in MODELS[subject].model_fields.items():
        written = field.alias or name
        if subject in BASES or written not in SAID_ABOVE:
            yield written


def kind_name(subject: str) -> str:
    return str(get_args(MODELS[subject].model_fields["kind"].annotation)[0])

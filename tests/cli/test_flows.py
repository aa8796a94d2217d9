"""Flow files from a terminal: checked, published, exported, simulated."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, runner
from tests.support.clock import FakeClock
from tests.support.merchant import BILLING_KEY, served_billing

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "demo" / "flow.yaml")
AT = ["--at", "2026-11-21T09:00:00Z"]

PRO = {
    "customer": {"id": "cus_1", "name": "Ada", "currency": "USD"},
    "subscriptions": [
        {
            "id": "sub_1",
            "start": "2025-05-12",
            "status": {"name": "active", "currentPeriod": {"start": "2026-11-12", "end": "2026-12-12"}},
            "items": [
                {
                    "price": {
                        "id": "price_pro_monthly",
                        "name": "Pro",
                        "productId": "prod_pro",
                        "duration": {"interval": "month"},
                        "amount": {"value": 2900},
                    }
                }
            ],
        }
    ],
    "customerAttributes": {"plan": "Pro", "tenureMonths": 18, "openTickets": 0, "pausesThisYear": 0},
}

BROKEN = """\
version: 1
name: Broken
steps:
  - kind: survey
    id: why
    reasns: []
"""


@pytest.fixture
def offline() -> Run:
    """A command line without a database or a setting."""
    return runner({"LEAVEWELL_SECRET": "", "DATABASE_URL": "postgresql://nowhere/none"})


@pytest.fixture
def simulate(offline: Run, tmp_path: Path) -> Run:
    """Simulate the demo's flow for a customer with some things changed."""

    def simulated(*options: str, **changes: Any) -> Any:
        file = tmp_path / "customer.json"
        file.write_text(json.dumps({**PRO, **changes}))
        return offline("flow", "simulate", DEMO, str(file), *AT, *options)

    return simulated


def test_a_good_file_is_fine(offline: Run) -> None:
    assert offline("flow", "lint", DEMO).code == 0
    assert offline("flow", "lint", DEMO, "--provider", "direct").code == 0


def test_mistakes_come_with_line_and_column(offline: Run, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    refused = offline("flow", "lint", str(file), DEMO)
    assert refused.code == 1
    assert refused.errors == [
        f"{file}, line 4, column 5: steps[0].reasons: This field is required.",
        f"{file}, line 6, column 5: steps[0].reasns: There is no such field; did you mean reasons?",
    ]


def test_offers_that_the_billing_system_cannot_make_are_mistakes(offline: Run) -> None:
    refused = offline("flow", "lint", DEMO, "--capabilities", "cancel_at_period_end,discount,plan_change")
    assert refused.code == 1
    assert any("lacks the capability pause" in line for line in refused.errors)
    assert offline("flow", "lint", DEMO, "--capabilities", "fly").code == 2


def test_what_a_flow_asks_for_in_vain_is_said_in_words(offline: Run, tmp_path: Path) -> None:
    file = tmp_path / "now.yaml"
    file.write_text("name: At once\nsteps:\n  - { kind: confirm, id: c, timing: now }\n")
    refused = offline("flow", "lint", str(file), "--capabilities", "cancel_at_period_end")
    assert refused.errors == [
        f"{file}, line 3, column 29: steps[0].timing: The connected billing provider cannot end a subscription at "
        "once: it lacks the capability cancel_now."
    ]


def test_who_will_not_see_a_pause_is_remarked(offline: Run) -> None:
    everything = "cancel_at_period_end,discount,pause,plan_change,trial_extension"
    linted = offline("flow", "lint", DEMO, "--capabilities", everything)
    assert linted.code == 0
    assert linted.err.count("cannot move a renewal: only subscriptions that are billed every month") == 2
    assert "cannot move a renewal" not in offline("flow", "lint", DEMO, "--provider", "demo").err


@pytest.fixture
def billing(run: Run, app_id: str, tmp_path: Path) -> Iterator[Run]:
    """The command line, its test environment connected to the demo's billing service."""
    with served_billing(tmp_path, FakeClock()) as url:
        allowed = {"LEAVEWELL_ALLOWED_NETWORKS": "127.0.0.0/8"}

        def connected(*arguments: str, **more: str) -> Any:
            return run(*arguments, **{**allowed, **more})

        given = f"base_url={url}", f"api_key={BILLING_KEY}"
        assert connected("setup", "provider", app_id, "demo", *given).code == 0
        yield connected


NAMES_UNKNOWN = """\
name: Odd
steps:
  - kind: offer
    id: stay
    offers:
      - { kind: discount, id: a, coupon_id: coupon_thanks }
      - { kind: discount, id: b, coupon_id: coupon_gone }
      - kind: plan_change
        id: c
        plans: [{ price_id: price_lite_monthly }, { price_id: price_gone }]
  - { kind: confirm, id: confirm }
"""


def test_prices_and_coupons_that_billing_does_not_have_are_named(
    billing: Run, app_id: str, tmp_path: Path
) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(NAMES_UNKNOWN)
    for done in (
        billing("flow", "lint", str(file), "--app", app_id),
        billing("flow", "import", "acme", str(file)),
    ):
        assert done.code == 0
        named = next(line for line in done.err.splitlines() if "coupon_gone" in line)
        assert "odd.yaml" in named
        assert "line 7" in named
        assert "offers[1].coupon_id: The demo's billing service has no coupon coupon_gone" in named
        assert (
            "steps[0].offers[2].plans[1].price_id: The demo's billing service has no price price_gone"
            in done.err
        )
        assert "coupon_thanks" not in done.err
        assert "price_lite" not in done.err


def test_billing_that_does_not_answer_keeps_nobody_from_publishing(
    billing: Run, app_id: str, tmp_path: Path
) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(NAMES_UNKNOWN)
    unreachable = {"LEAVEWELL_ALLOWED_NETWORKS": ""}
    done = billing("flow", "import", "acme", str(file), **unreachable)
    assert done.code == 0
    assert "Published as version" in done.err
    assert "prices and coupons are not checked. The demo's billing service could not be asked" in done.err


def test_what_offers_can_name_is_listed(billing: Run, app_id: str) -> None:
    listed = billing("flow", "catalog", app_id)
    assert listed.code == 0
    words = " ".join(listed.out.split())
    assert "price_lite_monthly Lite $6.00 a month" in words
    assert "price_pro_yearly Pro yearly $290.00 a year" in words
    assert "coupon_half_price Half price for three months 50% 3 months" in words
    assert "coupon_five_dollars $5 off for six months $5.00 6 months" in words
    assert "There are more" in billing("flow", "catalog", app_id, "--limit", "2").err
    refused = billing("flow", "catalog", app_id, LEAVEWELL_ALLOWED_NETWORKS="")
    assert refused.code == 1
    assert refused.errors[0].startswith("The demo's billing service could not be asked")


def test_before_billing_is_connected_there_is_nothing_to_list(run: Run, app_id: str) -> None:
    assert run("flow", "catalog", app_id).code == 1
    assert run("flow", "lint", DEMO, "--app", app_id).code == 1
    assert run("flow", "catalog", "app_test_none").code == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a: [", b"- 1", b"\x00"])
def test_a_file_that_is_no_flow_is_refused_in_words(offline: Run, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "odd.yaml"
    file.write_bytes(content)
    refused = offline("flow", "lint", str(file))
    assert refused.code == 1
    assert all(str(file) in line for line in refused.errors)
    assert offline("flow", "lint", str(tmp_path / "none.yaml")).errors == [
        f"{tmp_path / 'none.yaml'}: No such file or directory."
    ]


def test_a_flow_can_come_from_a_pipe(offline: Run) -> None:
    assert offline("flow", "lint", "-", input=Path(DEMO).read_text()).code == 0


def test_the_schema_is_printed(offline: Run) -> None:
    assert json.loads(offline("flow", "schema").out)["title"] == "Leavewell cancel flow"


def test_a_flow_is_published_exported_and_published_again(run: Run, app_id: str, tmp_path: Path) -> None:
    assert "name: Starter" in run("flow", "export", "acme").out
    assert "version 2 of acme" in run("flow", "import", "acme", DEMO).err
    exported = run("flow", "export", "acme").out
    file = tmp_path / "exported.yaml"
    file.write_text(exported)
    assert "nothing has changed" in run("flow", "import", "acme", str(file)).err
    assert "name: Starter" in run("flow", "export", "acme", "--version", "1").out
    assert run("flow", "export", "acme", "--version", "9").errors == ["acme has no version 9."]
    assert "flow.yaml" in run("flow", "versions", "acme").out
    assert run("flow", "export", "nobody").code == 1


def test_each_screen_is_told_with_the_reasons(simulate: Run) -> None:
    told = simulate("--reason", "too-expensive").out
    assert "1. why (survey)" in told
    assert "half-price: shown" in told
    assert "✓ tenureMonths gt: 18 is more than 6" in told
    assert "Price now: $29.00 a month" in told
    assert "Price after: $14.50" in told
    assert "Next charge: $14.50 on 12 December 2026" in told
    assert "It would end on 12 December 2026." in told
    assert told.rstrip().endswith("Outcome: canceled")


def test_an_offer_can_be_accepted(simulate: Run) -> None:
    told = simulate("--reason", "not-using", "--choose", "accept").out
    assert "At the billing provider: pause resumesAt=2027-01-12T00:00:00Z" in told
    assert told.rstrip().endswith("Outcome: pause_accepted")


def test_a_missing_attribute_matches_nothing(simulate: Run) -> None:
    told = simulate("--reason", "not-using", customerAttributes={}).out
    assert "? pausesThisYear lt: it is not known" in told
    assert "take-a-break: not shown" in told


def test_what_was_done_before_counts(simulate: Run) -> None:
    told = simulate("--reason", "too-expensive", history={"days_since_last_discount": 10}).out
    assert "✗ The customer took an offer of this kind too recently." in told


def test_a_provider_that_cannot_do_it_makes_no_offer(simulate: Run) -> None:
    everything = "cancel_at_period_end,discount,pause,plan_change,trial_extension"
    assert simulate("--reason", "not-using", "--capabilities", everything).code == 0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"customer": {"id": 1}}, "customer.id: Must be a string."),
        ({"subscriptions": [{"id": "sub_1"}]}, "subscriptions[0].start: This field is required."),
        ({"history": {"pauses": 1}}, "history.pauses: There is no such field"),
        ({"customerAttributes": {"a.b": 1}}, "customerAttributes.a.b: A name must not contain a dot"),
        ({"custmer": {}}, "custmer: There is no such field"),
        ({"locale": "q q"}, "locale: Must be a language tag"),
    ],
)
def test_a_mistake_in_the_customers_file_is_named(simulate: Run, changes: dict[str, Any], error: str) -> None:
    refused = simulate(**changes)
    assert refused.code == 1
    assert any(f"customer.json: {error}" in line for line in refused.errors), refused.err


def test_options_that_lead_nowhere_are_named(simulate: Run, offline: Run, tmp_path: Path) -> None:
    assert simulate("--reason", "boredom").errors[0].startswith("--reason: no survey has the reason boredom")
    assert simulate("--subscription", "sub_9").errors == [
        "--subscription: the customer has no subscription sub_9."
    ]
    assert simulate("--at", "noon").code == 1
    assert offline("flow", "simulate", DEMO).code == 2
    (tmp_path / "odd.json").write_text("{,}")
    assert "line 1, column 2" in offline("flow", "simulate", DEMO, str(tmp_path / "odd.json")).errors[0]

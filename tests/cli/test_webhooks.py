"""Endpoints from the command line: made, tried, changed, looked into, sent to again."""

import json
import re
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.db.database import Database
from app.webhooks import service
from tests.cli.conftest import Run
from tests.support.apps import SECRET
from tests.support.receiver import Answer, Got, receiving
from tests.webhooks.conftest import link_created

NEW_SECRET = "aX3vTz81nXw0pLr7YbHc5DfGm2JsAe9UoWiRtV64"
HERE = {"LEAVEWELL_ALLOWED_NETWORKS": "127.0.0.0/8"}


def added(run: Run, app_id: str, url: str, *options: str) -> tuple[str, str]:
    """The endpoint's id and what it verifies with."""
    made = run("webhooks", "add", app_id, url, *options, **HERE)
    assert made.code == 0, made.err
    found = re.search(r"whk_[0-9a-f]{24}", made.err)
    assert found
    return found[0], made.out.strip()


def happen(database: Database, app_id: str) -> None:
    database.write_sync(service.emit, app_id=app_id, events=[link_created()], now=datetime.now(UTC))


def test_an_endpoint_is_made_tried_and_seen(run: Run, app_id: str) -> None:
    with receiving() as receiver:
        endpoint, secret = added(run, app_id, receiver.url, "--description", "Our CRM")
        receiver.usual = Answer(200, {}, b"thanks")
        tried = run("webhooks", "test", app_id, endpoint, **HERE)
        assert tried.code == 0, tried.err
        assert "thanks" in tried.out
        [got] = receiver.inbox
        assert Webhook(secret).verify(got.body, dict(got.headers))["type"] == "webhook.test"
        listed = run("webhooks", "list", app_id).out
        assert endpoint in listed
        assert "Our CRM" in listed
        log = run("webhooks", "deliveries", app_id, endpoint).out
        assert "webhook.test" in log
        assert "delivered" in log
        [delivery] = re.findall(r"dlv_[0-9a-f]{24}", log)
        one = run("webhooks", "deliveries", app_id, endpoint, "--show", delivery).out
        assert re.search(rf"> webhook-id +{got.id}", one)
        assert re.search(r"^type +webhook.test$", one, re.MULTILINE)
        assert json.loads(one[one.index("{") : one.rindex("}") + 1]) == json.loads(got.body)
        assert "signature" not in one
    for shown in (listed, run("webhooks", "show", app_id, endpoint).out, log, one):
        assert secret not in shown


def test_a_test_that_fails_says_why_and_is_no_mark_against_the_endpoint(run: Run, app_id: str) -> None:
    with receiving() as receiver:
        endpoint, _ = added(run, app_id, receiver.url)
        receiver.answer(302, location="http://127.0.0.1:1/")
        tried = run("webhooks", "test", app_id, endpoint, **HERE)
    assert tried.code == 1
    assert "Redirects are not followed" in tried.err
    assert "failing" not in run("webhooks", "list", app_id).out


def test_a_key_pair_shows_its_public_half_whenever_asked(run: Run, app_id: str) -> None:
    endpoint, public = added(run, app_id, "http://127.0.0.1:9/", "--sign", "v1a")
    assert public.startswith("whpk_")
    assert public in run("webhooks", "show", app_id, endpoint).out


def test_what_is_wrong_is_said_before_anything_is_saved(run: Run, app_id: str) -> None:
    for arguments, problem in [
        (["http://127.0.0.1/"], "url: 127.0.0.1 is a private address"),
        (["ftp://example.com/"], "url: The URL must begin with https://."),
        (["https://a:b@example.com/"], "url: The URL must not contain a user name or a password."),
        (["https://example.com/", "--type", "session.over"], "types: There is no type session.over."),
        (["https://example.com/", "--type", "webhook.test"], "types: webhook.test is sent by"),
        (["https://example.com/", "--description", "a\nb"], "description: Must be one line"),
        (
            ["https://example.com/", "--format", "compatible", "--type", "session.started"],
            "types: The compatible format",
        ),
        (
            ["https://example.com/", "--format", "compatible", "--sign", "v1a"],
            "scheme: The compatible format",
        ),
    ]:
        made = run("webhooks", "add", app_id, *arguments)
        assert made.code == 1
        assert made.errors
        assert made.errors[0].startswith(problem)
    assert run("webhooks", "list", app_id).out == ""


def test_an_environment_has_twenty_endpoints_at_most(run: Run, app_id: str) -> None:
    for number in range(20):
        added(run, app_id, f"https://example.com/{number}")
    one_more = run("webhooks", "add", app_id, "https://example.com/20")
    assert (one_more.code, "at most 20" in one_more.err) == (1, True)


def test_an_endpoint_is_changed_and_keeps_what_is_not_named(run: Run, app_id: str) -> None:
    endpoint, _ = added(
        run, app_id, "https://example.com/", "--type", "effect.failed", "--description", "Mine"
    )
    assert run("webhooks", "update", app_id, endpoint, "--url", "https://example.com/new").code == 0
    shown = run("webhooks", "show", app_id, endpoint).out
    for words in ("https://example.com/new", "effect.failed", "Mine"):
        assert words in shown
    run("webhooks", "update", app_id, endpoint, "--all-types", "--description", "")
    shown = run("webhooks", "show", app_id, endpoint).out
    assert "effect.failed" not in shown
    assert "Mine" not in shown
    assert run("webhooks", "update", app_id, endpoint).code == 2
    assert run("webhooks", "update", app_id, endpoint, "--url", "http://10.0.0.1/").code == 1


def test_a_secret_is_changed_without_a_gap(run: Run, app_id: str) -> None:
    with receiving() as receiver:
        endpoint, old = added(run, app_id, receiver.url)
        rotated = run("webhooks", "rotate", app_id, endpoint)
        new = rotated.out.strip()
        assert "The old one signs too until" in rotated.err
        assert run("webhooks", "rotate", app_id, endpoint).code == 1, (
            "a third secret would end the first too early"
        )
        run("webhooks", "test", app_id, endpoint, **HERE)
        assert run("webhooks", "rotate", app_id, endpoint, "--end-old", "--keep-old", "1h").code == 2
        run("webhooks", "rotate", app_id, endpoint, "--end-old")
        run("webhooks", "test", app_id, endpoint, **HERE)
    both, only_new = receiver.inbox
    assert verifies(old, both)
    assert verifies(new, both)
    assert verifies(new, only_new)
    assert not verifies(old, only_new)
    assert run("webhooks", "rotate", app_id, endpoint, "--keep-old", "31d").code == 1


def verifies(secret: str, got: Got) -> bool:
    try:
        Webhook(secret).verify(got.body, dict(got.headers))
    except WebhookVerificationError:
        return False
    return True


def test_what_was_missed_is_sent_again(run: Run, app_id: str, database: Database) -> None:
    endpoint, _ = added(run, app_id, "https://example.com/")
    assert run("webhooks", "enable", app_id, endpoint, "--off").code == 0
    happen(database, app_id)
    assert "disabled" in run("webhooks", "list", app_id).out
    assert run("webhooks", "redeliver", app_id, endpoint, "--since", "1h").code == 1
    run("webhooks", "enable", app_id, endpoint)
    assert "One event is sent again." in run("webhooks", "redeliver", app_id, endpoint, "--since", "1h").err
    assert "0 events" in run("webhooks", "redeliver", app_id, endpoint, "--since", "1h").err
    log = run("webhooks", "deliveries", app_id, endpoint, "--status", "pending").out
    [delivery] = re.findall(r"dlv_[0-9a-f]{24}", log)
    assert run("webhooks", "redeliver", app_id, endpoint, delivery).code == 0
    assert run("webhooks", "redeliver", app_id, endpoint).code == 2
    assert "not both" in run("webhooks", "redeliver", app_id, endpoint, delivery, "--since", "1h").err
    assert run("webhooks", "redeliver", app_id, endpoint, "--since", "yesterday").code == 1


def test_a_removed_endpoint_is_gone(run: Run, app_id: str, database: Database) -> None:
    endpoint, _ = added(run, app_id, "https://example.com/")
    assert run("webhooks", "remove", app_id, endpoint).code == 0
    assert run("webhooks", "show", app_id, endpoint).errors == [
        "There is no such webhook endpoint in this environment."
    ]
    happen(database, app_id)
    assert endpoint not in run("webhooks", "list", app_id).out


def test_the_endpoints_and_deliveries_of_others_are_not_found(
    run: Run, app_id: str, database: Database
) -> None:
    endpoint, _ = added(run, app_id, "https://example.com/")
    happen(database, app_id)
    [delivery] = re.findall(r"dlv_[0-9a-f]{24}", run("webhooks", "deliveries", app_id, endpoint).out)
    run("orgs", "create", "Bob's")
    bobs = next(word for word in run("orgs", "show", "bob-s").out.split() if word.startswith("app_"))
    his, _ = added(run, bobs, "https://example.com/")
    for arguments in (
        ("show",),
        ("update", "--url", "https://example.com/mine"),
        ("rotate",),
        ("enable", "--off"),
        ("test",),
        ("deliveries",),
        ("redeliver", "--since", "1d"),
        ("remove",),
    ):
        command, *options = arguments
        assert run("webhooks", command, bobs, endpoint, *options).code == 1
    assert run("webhooks", "redeliver", bobs, his, delivery).code == 1
    assert run("webhooks", "deliveries", bobs, his, "--show", delivery).code == 1


def test_resealing_takes_the_secrets_along(run: Run, app_id: str) -> None:
    with receiving() as receiver:
        endpoint, secret = added(run, app_id, receiver.url)
        run("webhooks", "rotate", app_id, endpoint)
        resealed = run("secret", "reseal", LEAVEWELL_SECRET=f"{NEW_SECRET},{SECRET}")
        assert re.search(r"webhook secrets +2", resealed.out), resealed.err
        run("webhooks", "test", app_id, endpoint, LEAVEWELL_SECRET=NEW_SECRET, **HERE)
    assert verifies(secret, receiver.inbox[0])

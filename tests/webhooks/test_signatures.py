"""What is sent verifies with the libraries that receivers have: the published ones for Python and for Node."""

import hashlib
import hmac
import json
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlmodel import Session
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.adapters.clock import SystemClock
from app.adapters.standard_webhooks import new_secret
from app.adapters.vault import Vault
from app.db.tables.webhooks import WebhookEndpoint
from app.webhooks import endpoints
from app.webhooks.endpoints import StillRotating
from app.webhooks.kinds import SigningScheme
from tests.support.receiver import Got, Receiver
from tests.webhooks.conftest import Post

pytestmark = pytest.mark.anyio

NODE_LIBRARY = "standardwebhooks@1.1.1"
VERIFY = """
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const require = createRequire(process.argv[2] + "/");
const { Webhook } = require("standardwebhooks");
const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
try {
  process.stdout.write(JSON.stringify(new Webhook(secret).verify(body, headers)));
} catch (error) {
  process.stdout.write("REFUSED " + error.message);
}
"""

Verifies = Callable[[str, Got], bool]


def in_python(secret: str, got: Got) -> bool:
    try:
        told = Webhook(secret).verify(got.body, dict(got.headers))
    except WebhookVerificationError:
        return False
    assert told == got.json()
    return True


@pytest.fixture(scope="session")
def node_library() -> Path:
    """The folder that the library from npm is in, by version; installed where it is not yet."""
    folder = Path(tempfile.gettempdir()) / "leavewell-tests" / NODE_LIBRARY
    if not (folder / "node_modules" / "standardwebhooks" / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            "npm",
            "install",
            "--prefix",
            str(folder),
            "--omit=dev",
            "--no-audit",
            "--no-fund",
            NODE_LIBRARY,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except (OSError, subprocess.TimeoutExpired) as problem:
            pytest.fail(f"{NODE_LIBRARY} cannot be installed: npm: {problem}")
        if done.returncode:
            pytest.fail(f"{NODE_LIBRARY} cannot be installed from npm:\n{done.stderr}")
    return folder


@pytest.fixture(params=["python", "node"])
def verifies(request: pytest.FixtureRequest) -> Verifies:
    if request.param == "python":
        return in_python
    folder: Path = request.getfixturevalue("node_library")
    script = folder / "verify.mjs"
    script.write_text(VERIFY)

    def in_node(secret: str, got: Got) -> bool:
        given = {"secret": secret, "headers": dict(got.headers), "body": got.body.decode()}
        done = subprocess.run(
            ["node", str(script), str(folder)],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        if done.stdout.startswith("REFUSED"):
            return False
        assert json.loads(done.stdout) == got.json()
        return True

    return in_node


@pytest.fixture
def post(post: Post) -> Post:
    """The libraries look at the real clock."""
    post.clock.set(SystemClock().now())
    return post


async def test_the_published_library_believes_us_and_nobody_else(
    post: Post, receiver: Receiver, verifies: Verifies
) -> None:
    secret = post.add(receiver.url).shown
    post.emit()
    await post.deliver()
    foreign = post.add(receiver.url).shown
    [got] = receiver.inbox
    assert verifies(secret, got)
    assert not verifies(foreign, got)
    assert not verifies(secret, Got(got.path, got.headers, got.body.replace(b"cus_ben", b"cus_eve")))
    assert not verifies(secret, Got(got.path, {**got.headers, "webhook-id": "evt_other"}, got.body))


async def test_while_a_secret_is_changed_both_verify_and_afterwards_the_old_one_does_not(
    post: Post, receiver: Receiver, verifies: Verifies
) -> None:
    made = post.add(receiver.url)
    post.clock.advance(hours=-23, minutes=-58)  # so that the end of the change is now
    new = rotate(post, made.endpoint.id)
    with pytest.raises(StillRotating):
        rotate(post, made.endpoint.id)
    post.clock.advance(hours=23, minutes=58)
    post.emit()
    await post.deliver()
    post.clock.advance(minutes=3)
    post.emit()
    await post.deliver()
    during, afterwards = receiver.inbox
    assert verifies(made.shown, during)
    assert verifies(new, during)
    assert verifies(new, afterwards)
    assert not verifies(made.shown, afterwards)
    assert len(afterwards.headers["webhook-signature"].split()) == 1


def rotate(post: Post, endpoint_id: str) -> str:
    return post.database.write_sync(
        endpoints.rotate, post.vault, app_id=post.app_id, endpoint_id=endpoint_id, now=post.clock.now()
    ).shown


async def test_old_secrets_are_forgotten_when_their_time_is_over(post: Post, receiver: Receiver) -> None:
    made = post.add(receiver.url)
    rotate(post, made.endpoint.id)
    sweep = {"now": post.clock.advance(hours=23), "limit": 10}
    post.database.write_sync(endpoints.forget_deliveries, **sweep)
    assert post.endpoint(made.endpoint.id).old_secret_encrypted
    sweep["now"] = post.clock.advance(hours=2)
    post.database.write_sync(endpoints.forget_deliveries, **sweep)
    assert post.endpoint(made.endpoint.id).old_secret_encrypted is None


# --- Key pairs ----------------------------------------------------------------------------------------------------


async def test_a_key_pair_signs_so_that_the_public_key_is_enough(post: Post, receiver: Receiver) -> None:
    made = post.add(receiver.url, scheme=SigningScheme.V1A)
    new = rotate(post, made.endpoint.id)
    post.emit()
    await post.deliver()
    post.clock.advance(days=1, seconds=1)
    post.emit()
    await post.deliver()
    during, afterwards = receiver.inbox
    assert signed_by(made.shown, during)
    assert signed_by(new, during)
    assert signed_by(new, afterwards)
    assert not signed_by(made.shown, afterwards)
    assert "ck-signature" not in during.headers, "there is no shared secret to make it with"


def signed_by(public: str, got: Got) -> bool:
    """As the specification has it: Ed25519 over `id.timestamp.body`, the key as `whpk_` and base64."""
    assert public.startswith("whpk_")
    key = Ed25519PublicKey.from_public_bytes(b64decode(public.removeprefix("whpk_")))
    message = f"{got.id}.{got.headers['webhook-timestamp']}.".encode() + got.body
    for part in got.headers["webhook-signature"].split():
        version, _, signature = part.partition(",")
        assert version == "v1a"
        try:
            key.verify(b64decode(signature), message)
        except InvalidSignature:
            continue
        return True
    return False


# --- The other vendor's -------------------------------------------------------------------------------------------


async def test_ck_signature_is_hex_over_the_body_by_the_secret_that_receivers_have_so_far(
    post: Post, receiver: Receiver
) -> None:
    made = post.add(receiver.url)
    post.emit()
    await post.deliver()
    new = rotate(post, made.endpoint.id)
    post.emit()
    await post.deliver()
    post.clock.advance(days=1, seconds=1)
    post.emit()
    await post.deliver()
    for got, secret in zip(receiver.inbox, (made.shown, made.shown, new), strict=True):
        assert got.headers["ck-signature"] == hmac.new(secret.encode(), got.body, hashlib.sha256).hexdigest()


async def test_an_endpoint_whose_secret_cannot_be_read_is_a_failure_that_says_so(
    post: Post, receiver: Receiver
) -> None:
    made = post.add(receiver.url)
    post.database.write_sync(_spoil, made.endpoint.id)
    post.emit()
    await post.deliver()
    assert receiver.inbox == []
    [attempt] = post.attempts()
    assert "LEAVEWELL_SECRET" in (attempt.failure or "")
    assert post.delivery().status == "pending", "it may be mended"


def _spoil(db: Session, endpoint_id: str) -> None:
    foreign = Vault(["a secret that is not in our ring, of some length"])
    db.get_one(WebhookEndpoint, endpoint_id).secret_encrypted = foreign.seal(new_secret())

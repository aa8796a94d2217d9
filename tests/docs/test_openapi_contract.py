"""The document is true: schemathesis tries the API against it, and every address under /v1 is in it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest

from app.accounts import service as accounts
from app.adapters.clock import SystemClock
from app.adapters.vault import Vault
from app.core.flow import dump_flow
from app.core.flow_schema import json_schema
from app.db.database import Database
from app.docs.document import OPERATIONS, TAGS, names_of, openapi
from app.flows.files import load_yaml
from app.main import create_app
from app.settings import WorkerPlace
from tests.support import server
from tests.support.apps import make_settings
from tests.support.backend import provisioned
from tests.support.clock import FakeClock

ROOT = Path(__file__).parents[2]
ST = Path(sys.executable).with_name("st")


@pytest.mark.parametrize("is_data", [False, True], ids=["links", "data"])
def test_the_api_keeps_to_its_document(database: Database, tmp_path: Path, is_data: bool) -> None:
    """All checks, bounded: the documented examples, every bound of every field, and a few random requests."""
    clock = SystemClock()  # schemathesis is a program of its own, with no other clock
    listener = server.listen()
    url = database.url.render_as_string(hide_password=False)
    settings = make_settings(url, base_url=server.address(listener), worker=WorkerPlace.NONE)
    settings = replace(settings, api_rate=1_000_000)
    app_id, key = provisioned(database, settings, FakeClock(clock.now()))["test"]
    data_key = database.write_sync(
        accounts.create_data_key,
        Vault(settings.secrets),
        app_id=app_id,
        scopes=[*accounts.Scope],
        now=clock.now(),
    )
    secret = data_key.secret if is_data else key.secret
    with server.served(create_app(settings, database=database, clock=clock), listener) as origin:
        command = [str(ST), "run", f"{origin}/docs/openapi.json", "--checks", "all", "--max-examples", "20"]
        command += ["-H", f"x-ck-app: {app_id}", "-H", f"x-ck-api-key: {secret}", "--seed", "1"]
        command += ["--include-path-regex" if is_data else "--exclude-path-regex", "^/v1/data/"]
        run = subprocess.run(
            [*command, "--warnings", "off", "--no-color"],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.docs.schemathesis_hooks",
            },
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


def test_every_address_of_the_api_is_in_the_document_and_the_other_way_round(
    database: Database, clock: FakeClock
) -> None:
    app = create_app(make_settings(), database=database, clock=clock)
    served = {
        (method, route.path_format)
        for route in app.routes
        if route.path.startswith("/v1")
        for method in getattr(route, "methods", ())
        if method not in ("HEAD", "OPTIONS")
    }
    assert served == names_of(openapi("http://leavewell.test"))


def test_the_document_is_openapi_3_1() -> None:
    document = openapi("https://leave.example.com")
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "https://leave.example.com"}]
    ids = [operation.id for operation in OPERATIONS]
    assert len(ids) == len(set(ids))
    assert {operation.tag for operation in OPERATIONS} == set(TAGS)
    for name, schema in document["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema), name


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_example_fits_its_schema(operation: object) -> None:
    document = openapi("https://leave.example.com")
    described = document["paths"][operation.path][operation.method]
    bodies = [described["requestBody"]["content"]["application/json"]] if "requestBody" in described else []
    for response in described["responses"].values():
        bodies += response["content"].values()
    for body in bodies:
        schema = {**body["schema"], "components": document["components"]}
        for example in (
            [body["example"]] if "example" in body else [e["value"] for e in body["examples"].values()]
        ):
            jsonschema_rs.validate(schema, example)


def test_the_flow_schema_takes_a_real_flow_and_refuses_a_broken_one() -> None:
    schema = json_schema()
    assert jsonschema_rs.meta.is_valid(schema)
    written = dump_flow(load_yaml((ROOT / "demo" / "flow.yaml").read_text(), "flow.yaml"))
    jsonschema_rs.validate(schema, written)
    assert not jsonschema_rs.is_valid(schema, {**written, "steps": [{"kind": "confirm"}]})

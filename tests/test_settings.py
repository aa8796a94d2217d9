import secrets
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from app.settings import DEFAULT_DATABASE_URL, LogFormat, LogLevel, Settings, SettingsError, WorkerPlace

SECRET = "q0W4k-Zt9vXhB2nLr7Yd_mPf5sJc8uGe3aTo6iN1xKwEbRzV"
OTHER_SECRET = "9fJx2LmQv7RtYb4NcW0zHs6KdPg1ZaTe8UoVi3EyXkGqBnMr"


def read(**env: str) -> Settings:
    return Settings.from_env({"LEAVEWELL_SECRET": SECRET, **env})


def problems(**env: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(**env)
    return caught.value.problems


def the_problem(**env: str) -> str:
    [problem] = problems(**env)
    return problem


def test_a_secret_is_all_that_is_needed() -> None:
    settings = read()
    assert settings.secrets == (SECRET,)
    assert (settings.host, settings.port, settings.base_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert settings.database_url == DEFAULT_DATABASE_URL
    assert settings.worker is WorkerPlace.EMBEDDED
    assert not settings.is_demo
    assert not settings.is_https


def test_everything_can_be_set() -> None:
    settings = read(
        LEAVEWELL_SECRET=f"{SECRET}, {OTHER_SECRET}",
        LEAVEWELL_BASE_URL="https://leave.example.com/",
        DATABASE_URL="postgresql://ann:pw@db.internal/leavewell",
        LEAVEWELL_DATABASE_POOL="12",
        HOST="0.0.0.0",  # noqa: S104 (what a container listens on)
        PORT="80",
        LEAVEWELL_ALLOWED_NETWORKS="10.0.0.0/8, fd00::/8 192.0.2.7",
        LEAVEWELL_TRUSTED_PROXIES="172.16.0.0/12",
        LEAVEWELL_WORKER="none",
        LEAVEWELL_DEMO="no",
        LEAVEWELL_LOG_LEVEL="WARNING",
        LEAVEWELL_LOG_FORMAT="json",
        LEAVEWELL_API_RATE="50",
    )
    assert settings == Settings(
        secrets=(SECRET, OTHER_SECRET),
        base_url="https://leave.example.com",
        database_url="postgresql://ann:pw@db.internal/leavewell",
        database_pool=12,
        host="0.0.0.0",  # noqa: S104 - only read, not bound
        port=80,
        allowed_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("192.0.2.7/32")),
        trusted_proxies=(ip_network("172.16.0.0/12"),),
        worker=WorkerPlace.NONE,
        log_level=LogLevel.WARNING,
        log_format=LogFormat.JSON,
        api_rate=50,
    )
    assert settings.is_https


def test_empty_is_the_same_as_absent() -> None:
    assert read(PORT="", LEAVEWELL_WORKER=" ", DATABASE_URL="", LEAVEWELL_BASE_URL="") == read()


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"PORT": "many", "LEAVEWELL_WORKER": "maybe", "DATABASE_URL": "mysql://x/y"})
    message = str(caught.value)
    for name in ("LEAVEWELL_SECRET", "PORT", "LEAVEWELL_WORKER", "DATABASE_URL"):
        assert f"  - {name} " in message


# --- Secrets --------------------------------------------------------------------------------------


def test_a_missing_secret_says_how_to_make_one() -> None:
    problem = the_problem(LEAVEWELL_SECRET="")
    assert "is missing" in problem
    assert "leavewell secret" in problem
    assert 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"' in problem


@pytest.mark.parametrize(
    "weak",
    [
        "tooshort4us",
        "x" * 64,
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "correct-horse-" * 4,
        "please-CHANGE-me-please-7f3a9c1e5b2d",
        "0123456789012345678901234567890123456789",
        "pässwörter-sind-keine-schlüssel-7f3a9c1e",
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(weak: str) -> None:
    problem = the_problem(LEAVEWELL_SECRET=weak)
    assert problem.startswith("LEAVEWELL_SECRET ")
    assert "leavewell secret" in problem
    assert weak not in problem


def test_every_secret_of_the_ring_is_looked_at() -> None:
    assert "number 2 of 2" in the_problem(LEAVEWELL_SECRET=f"{SECRET},short")


@pytest.mark.parametrize("make", [lambda: secrets.token_urlsafe(48), lambda: secrets.token_hex(16)])
def test_what_we_tell_people_to_make_is_good_enough(make: Callable[[], str]) -> None:
    for _ in range(500):
        made = make()
        assert read(LEAVEWELL_SECRET=made).secrets == (made,)


def test_the_demo_needs_no_secret() -> None:
    assert read(LEAVEWELL_SECRET="", LEAVEWELL_DEMO="1").is_demo
    assert read(LEAVEWELL_SECRET="short", LEAVEWELL_DEMO="1").secrets == ("short",)


def test_settings_show_no_secret() -> None:
    shown = repr(read(DATABASE_URL="postgresql://ann:hunter2@db/leavewell"))
    assert SECRET not in shown
    assert "hunter2" not in shown


# --- Files ----------------------------------------------------------------------------------------


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n{OTHER_SECRET}\n")
    assert read(LEAVEWELL_SECRET="", LEAVEWELL_SECRET_FILE=str(file)).secrets == (SECRET, OTHER_SECRET)


def test_the_database_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "database"
    file.write_text("postgresql:///leavewell\n")
    assert read(DATABASE_URL_FILE=str(file)).database_url == "postgresql:///leavewell"


def test_a_missing_file_is_the_one_problem(tmp_path: Path) -> None:
    problem = the_problem(LEAVEWELL_SECRET="", LEAVEWELL_SECRET_FILE=str(tmp_path / "absent"))
    assert problem == f"LEAVEWELL_SECRET_FILE names {tmp_path}/absent, and there is no such file."


def test_an_unreadable_file(tmp_path: Path) -> None:
    assert "cannot be read" in the_problem(LEAVEWELL_SECRET="", LEAVEWELL_SECRET_FILE=str(tmp_path))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b" \n", "empty"), (b"\xff\xfe", "UTF-8"), (b"x" * 70_000, "larger than 64 KB")],
)
def test_a_file_of_no_use(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert complaint in the_problem(LEAVEWELL_SECRET="", LEAVEWELL_SECRET_FILE=str(file))


def test_a_value_and_a_file_are_one_too_many(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(OTHER_SECRET)
    assert "as well as LEAVEWELL_SECRET" in the_problem(LEAVEWELL_SECRET_FILE=str(file))


# --- Addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["0", "65536", "-1", "8000.0", "٨٠٠٠", "http"])
def test_a_port_out_of_range(port: str) -> None:
    assert the_problem(PORT=port) == "PORT must be a whole number from 1 to 65535."


@pytest.mark.parametrize("host", ["not a host", "http://127.0.0.1", "a" * 300])
def test_a_host_that_is_none(host: str) -> None:
    assert "HOST must be" in the_problem(HOST=host)


def test_the_world_needs_to_know_its_address() -> None:
    problem = the_problem(HOST="0.0.0.0")  # noqa: S104 - only read, not bound
    assert problem.startswith("LEAVEWELL_BASE_URL is missing")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9000", "http://localhost:8000", "http://[::1]:8000", "https://leave.example.com:8443"],
)
def test_good_base_urls(url: str) -> None:
    assert read(LEAVEWELL_BASE_URL=f"{url}/").base_url == url


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://leave.example.com", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("leave.example.com", "https://"),
        ("ftp://leave.example.com", "https://"),
        ("https://", "https://"),
        ("https://leave.example.com/app", "only a scheme and a host"),
        ("https://leave.example.com?x=1", "only a scheme and a host"),
        ("https://ann:pw@leave.example.com", "only a scheme and a host"),
        ("https://leave.example.com:99999", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://leave example.com", "https://"),
    ],
)
def test_bad_base_urls(url: str, complaint: str) -> None:
    problem = the_problem(LEAVEWELL_BASE_URL=url)
    assert problem.startswith("LEAVEWELL_BASE_URL ")
    assert complaint in problem


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///data/leavewell.sqlite3",
        "sqlite:////var/lib/leavewell.sqlite3",
        "postgresql://ann:pw@db:5432/leavewell?sslmode=require",
        "postgres://ann@db/leavewell",
        "postgresql+psycopg:///leavewell?host=/run/postgresql",
    ],
)
def test_good_database_urls(url: str) -> None:
    assert read(DATABASE_URL=url).database_url == url


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory",
        "sqlite://leavewell.sqlite3",
        "sqlite+aiosqlite:///x",
        "postgresql://ann:hunter2@db",
        "postgresql+asyncpg://ann:hunter2@db/leavewell",
        "postgresql://ann:hunter2@db:port/leavewell",
        "mysql://ann:hunter2@db/leavewell",
        "leavewell.sqlite3",
    ],
)
def test_bad_database_urls_are_refused_without_their_password(url: str) -> None:
    problem = the_problem(DATABASE_URL=url)
    assert problem.startswith("DATABASE_URL ")
    assert "sqlite:///path/to/file or postgresql://" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("networks", "complaint"),
    [
        ("10.0.0.0/33", "is not a network"),
        ("intranet", "is not a network"),
        ("10.1.2.3/8", "Did you mean 10.0.0.0/8?"),
        ("0.0.0.0/0", "every address"),
        ("::/0", "every address"),
    ],
)
@pytest.mark.parametrize("name", ["LEAVEWELL_ALLOWED_NETWORKS", "LEAVEWELL_TRUSTED_PROXIES"])
def test_bad_networks(name: str, networks: str, complaint: str) -> None:
    problem = the_problem(**{name: f"192.0.2.0/24,{networks}"})
    assert problem.startswith(f"{name} ")
    assert complaint in problem


# --- The rest -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("LEAVEWELL_DEMO", "maybe", "Write 1 or 0"),
        ("LEAVEWELL_WORKER", "outside", "embedded, none"),
        ("LEAVEWELL_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("LEAVEWELL_LOG_FORMAT", "xml", "text, json"),
        ("LEAVEWELL_API_RATE", "0", "from 1 to 1000000"),
        ("LEAVEWELL_DATABASE_POOL", "101", "from 1 to 100"),
        ("LEAVEWELL_SECRTE", "x", "Did you mean LEAVEWELL_SECRET?"),
        ("LEAVEWELL_PORT", "80", "is not known"),
        ("LEAVEWELL_API_RATE_FILE", "/x", "Did you mean LEAVEWELL_API_RATE?"),
    ],
)
def test_a_wrong_variable_says_what_would_be_right(name: str, value: str, complaint: str) -> None:
    problem = the_problem(**{name: value})
    assert problem.startswith(f"{name} ")
    assert complaint in problem


def test_what_a_merchants_backend_is_given_does_no_harm() -> None:
    given = ("URL", "APP_ID", "API_KEY", "LIVE_APP_ID", "LIVE_API_KEY", "DEMO_CUSTOMERS", "TEST_RUN")
    assert read(**{f"LEAVEWELL_{name}": "x" for name in given}) == read()

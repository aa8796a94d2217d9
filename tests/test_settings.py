import secrets
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings import (
    DEFAULT_DATABASE_URL,
    LogFormat,
    LogLevel,
    Settings,
    SettingsError,
    Smtp,
    SmtpSecurity,
    WorkerPlace,
)
from tests.support.authority import new_authority

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
        SMTP_URL="smtp://leave:pw@mail.example.com?from=leave@example.com",
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
        smtp=Smtp(
            host="mail.example.com", port=587, username="leave", password="pw", sender="leave@example.com"
        ),
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


# --- Mail -----------------------------------------------------------------------------------------


def smtp(url: str, **env: str) -> Smtp:
    found = read(SMTP_URL=url, **env).smtp
    assert found is not None
    return found


def test_without_a_mail_server_there_is_none() -> None:
    assert read().smtp is None
    assert read(SMTP_URL=" ").smtp is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "smtp://leave%40example.com:pw@mail.example.com",
            Smtp(
                host="mail.example.com",
                port=587,
                username="leave@example.com",
                password="pw",
                sender="leave@example.com",
            ),
        ),
        (
            "SMTPS://leave:pw@Mail.Example.com/?from=leave%2Bcancel@example.com&timeout=60",
            Smtp(
                host="mail.example.com",
                port=465,
                username="leave",
                password="pw",
                security=SmtpSecurity.TLS,
                sender="leave+cancel@example.com",
                timeout_s=60,
            ),
        ),
        (
            "smtp://[::1]:1025?tls=none&from=leave+cancel@example.com",
            Smtp(host="::1", port=1025, security=SmtpSecurity.NONE, sender="leave+cancel@example.com"),
        ),
        (
            "smtp://localhost?tls=none&from=a@b.example&timeout=1",
            Smtp(host="localhost", port=25, security=SmtpSecurity.NONE, sender="a@b.example", timeout_s=1),
        ),
        (
            "smtp://192.0.2.7:2525?from=a@b.example",
            Smtp(host="192.0.2.7", port=2525, sender="a@b.example"),
        ),
    ],
)
def test_a_mail_server_in_one_url(url: str, expected: Smtp) -> None:
    assert smtp(url) == expected


def test_user_and_password_may_hold_every_character() -> None:
    found = smtp("smtp://l%C3%A9a%3A1:%2F%3F%23%40%25+%20%26=@mail.example.com?from=a@b.example")
    assert (found.username, found.password) == ("léa:1", "/?#@%+ &=")


def test_unencrypted_mail_stays_on_this_machine_and_in_allowed_networks() -> None:
    url = "smtp://{}:1025?tls=none&from=a@b.example"
    for host in ("127.0.0.1", "127.9.9.9", "localhost", "mail.localhost", "[::1]"):
        assert smtp(url.format(host)).plain_networks == ()
    for host in ("10.20.0.9", "mail_pit", "mail.internal"):
        assert "tls=none" in the_problem(SMTP_URL=url.format(host))
        allowed = smtp(url.format(host), LEAVEWELL_ALLOWED_NETWORKS="10.20.0.0/16")
        assert allowed.plain_networks == (ip_network("10.20.0.0/16"),)
    for host in ("10.21.0.9", "192.0.2.7", "[fd00::1]"):
        env = {"SMTP_URL": url.format(host), "LEAVEWELL_ALLOWED_NETWORKS": "10.20.0.0/16"}
        assert "LEAVEWELL_ALLOWED_NETWORKS" in the_problem(**env)


def test_a_private_authority(tmp_path: Path) -> None:
    file = new_authority(tmp_path).file
    assert smtp(f"smtps://mail.example.com?from=a@b.example&ca={file}").ca_file == file


def test_a_file_that_is_no_authority(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    url = "smtps://mail.example.com?from=a@b.example&ca={}"
    assert "holds no certificate" in the_problem(SMTP_URL=url.format(empty))
    assert "cannot be read: No such file" in the_problem(SMTP_URL=url.format(tmp_path / "absent"))
    assert "has a ca" in the_problem(SMTP_URL=url.format(""))
    plain = f"smtp://localhost?tls=none&from=a@b.example&ca={empty}"
    assert "no certificate is looked at" in the_problem(SMTP_URL=plain)


def test_the_mail_server_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "smtp"
    file.write_text("smtps://leave:pw@mail.example.com?from=a@b.example\n")
    found = read(SMTP_URL_FILE=str(file)).smtp
    assert found is not None
    assert found.password == "pw"


def test_settings_show_no_mail_password() -> None:
    found = read(SMTP_URL="smtp://leave:hunter2@mail.example.com?from=a@b.example")
    assert "hunter2" not in repr(found)
    assert "hunter2" not in repr(found.smtp)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mail.example.com", "scheme"),
        ("http://leave:hunter2@mail.example.com", "scheme"),
        ("smtp:leave:hunter2@mail.example.com", "scheme"),
        ("smtp+starttls://leave:hunter2@mail.example.com", "scheme"),
        ("smtp://", "host"),
        ("smtp://leave:hunter2@?from=a@b.example", "host"),
        ("smtp://leave:hunter2@mail..example.com%?from=a@b.example", "host"),
        ("smtp://leave:hunter2@[::1?from=a@b.example", "host"),
        ("smtp://leave:hunter2@[fe80::1%25eth0]?from=a@b.example", "host"),
        ("smtp://leave:hunter2@-mail?from=a@b.example", "host"),
        ("smtp://leave:hunter2@mail.example.com:0?from=a@b.example", "port"),
        ("smtp://leave:hunter2@mail.example.com:65536?from=a@b.example", "port"),
        ("smtp://leave:hunter2@mail.example.com:smtp?from=a@b.example", "port"),
        ("smtp://leave:hunt/er2@mail.example.com?from=a@b.example", "%2F"),
        ("smtp://leave:hunt#er2@mail.example.com?from=a@b.example", "%23"),
        ("smtp://leave:hunt?er2@mail.example.com", "%3F"),
        ("smtp://leave:hunter2@mail.example.com/inbox?from=a@b.example", "path"),
        ("smtp://leave:hunter2%@mail.example.com?from=a@b.example", "password with a %"),
        ("smtp://leave:hunter2%zz@mail.example.com?from=a@b.example", "password with a %"),
        ("smtp://le%ve:hunter2@mail.example.com?from=a@b.example", "user with a %"),
        ("smtp://leave:hunter2%FF@mail.example.com?from=a@b.example", "password that is not UTF-8"),
        ("smtp://leave:hunter2%0D%0A@mail.example.com?from=a@b.example", "password with a control character"),
        ("smtp://leave:hunter2%00@mail.example.com?from=a@b.example", "password with a control character"),
        ("smtp://leave:hunter2 @mail.example.com?from=a@b.example", "space"),
        ("smtp://leave:hunter2\n@mail.example.com?from=a@b.example", "control character"),
        ("smtp://leave@mail.example.com?from=a@b.example", "no password"),
        ("smtp://leave:@mail.example.com?from=a@b.example", "no password"),
        ("smtp://:hunter2@mail.example.com?from=a@b.example", "no user"),
        ("smtp://mail.example.com", "who sends"),
        ("smtp://leave:hunter2@mail.example.com", "who sends"),
        ("smtp://leave:hunter2@mail.example.com?from=", "has a from"),
        ("smtp://leave:hunter2@mail.example.com?from=leave", "has a from"),
        ("smtp://leave:hunter2@mail.example.com?from=l%C3%A9a@b.example", "has a from"),
        ("smtp://leave:hunter2@mail.example.com?from=A%20%3Ca@b.example%3E", "has a from"),
        ("smtp://leave:hunter2@mail.example.com?from=a@b.example%0D%0ARCPT", "from with a control character"),
        ("smtp://leave:hunter2@mail.example.com?from=a@b.example&from=c@d.example", "twice"),
        ("smtp://leave:hunter2@mail.example.com?form=a@b.example", "from, tls, timeout, ca"),
        ("smtp://leave:hunter2@mail.example.com?from=a@b.example&tls=yes", "tls"),
        ("smtps://leave:hunter2@localhost?from=a@b.example&tls=none", "smtps:// is TLS"),
        ("smtp://leave:hunter2@mail.example.com?from=a@b.example&timeout=0", "timeout"),
        ("smtp://leave:hunter2@mail.example.com?from=a@b.example&timeout=61", "from 1 to 60"),
        ("smtp://leave:hunter2@mail.example.com?from=a@b.example&timeout=1.5", "timeout"),
        ("smtp://leave:hunter2@mail.example.com?from=a@b.example&timeout=٣", "timeout"),
    ],
)
def test_a_wrong_mail_server_is_refused_by_its_part_and_without_its_password(
    url: str, complaint: str
) -> None:
    problem = the_problem(SMTP_URL=url)
    assert problem.startswith("SMTP_URL ")
    assert complaint in problem
    assert "smtp://user:password@mail.example.com:587" in problem
    for secret in ("hunter2", "er2", "hunt"):
        assert secret not in problem


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60))
def test_whatever_follows_the_scheme_is_read_or_refused(rest: str) -> None:
    try:
        Settings.from_env({"LEAVEWELL_DEMO": "1", "SMTP_URL": f"smtp://{rest}"})
    except SettingsError as error:
        assert all(problem.startswith("SMTP_URL ") for problem in error.problems)  # noqa: PT017 - either is right


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

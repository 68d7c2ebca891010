"""Settings: accepted values, rejected values, and the defaults that are generated."""

import base64
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from api.config import ConfigError, load
from tests.support.paths import CHECKOUT
from tests.support.patience import PATIENCE_SECONDS

SECRET, PEPPER = bytes(range(32)), bytes(range(32, 64))
SECRETS = {"CHARTER_SECRET": SECRET.hex(), "CHARTER_PEPPER": PEPPER.hex()}
SHARED = {"DATABASE_URL": "postgresql://db.example/charter", **SECRETS}
MAKE_ONE = "generate one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
TOO_LITTLE = f"at least 256 random bits; {MAKE_ONE}"
WELL_KNOWN = f"a secret that is not publicly known, of {TOO_LITTLE}"


def refusal(environ: dict[str, str]) -> str:
    """Return the error message with which Charter rejects these settings."""
    with pytest.raises(ConfigError) as caught:
        load(environ)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        base64.urlsafe_b64encode(SECRET).decode(),
        base64.urlsafe_b64encode(SECRET).decode().rstrip("="),
        f"  {SECRET.hex()}\n",
    ],
)
def test_a_secret_is_256_bits_in_hexadecimal_or_base64url(text: str) -> None:
    assert load(SHARED | {"CHARTER_SECRET": text}).secret == SECRET


@pytest.mark.parametrize("variable", ["CHARTER_SECRET", "CHARTER_PEPPER"])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("changeme", TOO_LITTLE),
        (SECRET[1:].hex(), TOO_LITTLE),
        (SECRET[10:].hex(), TOO_LITTLE),
        (base64.urlsafe_b64encode(SECRET[1:]).decode(), TOO_LITTLE),
        (SECRET.hex() + "0", TOO_LITTLE),
        ("not a secret, but a sentence of more than enough letters", TOO_LITTLE),
        ("\u00fc" * 64, TOO_LITTLE),
        ("0" * 64, TOO_LITTLE),
        ("abcdefghijklmnop" * 4, TOO_LITTLE),
        ("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", WELL_KNOWN),
        ("09D25E094FAA6CA2556C818166B7A9563B93F7099F6F0F4CAA6CF63B88E8D3E7", WELL_KNOWN),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", WELL_KNOWN),
    ],
)
def test_a_guessable_secret_is_rejected_with_advice(variable: str, text: str, wanted: str) -> None:
    assert refusal(SHARED | {variable: text}) == f"{variable} must be {wanted}"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgres://db.example/charter", "postgresql+psycopg://db.example/charter"),
        ("postgresql://ann:pw@db.example:5433/charter", "postgresql+psycopg://ann:***@db.example:5433/charter"),
        ("postgresql+psycopg://db.example/charter", "postgresql+psycopg://db.example/charter"),
        ("postgresql://ann:a,b@db.example/charter", "postgresql+psycopg://ann:***@db.example/charter"),
        (
            "postgresql://ann:pw@db1.example,db2.example:5433/charter?target_session_attrs=read-write",
            "postgresql+psycopg://ann:***@/charter"
            "?host=db1.example&host=db2.example%3A5433&target_session_attrs=read-write",
        ),
        ("sqlite:////srv/charter.db", "sqlite:////srv/charter.db"),
    ],
)
def test_a_database_is_given_by_its_url(text: str, url: str) -> None:
    assert str(load(SHARED | {"DATABASE_URL": text}).database_url) == url


@pytest.mark.parametrize(
    "text",
    [
        "charter.db",
        "mysql://ann:hunter2@db.example/charter",
        "postgresql+asyncpg://db.example/charter",
        "postgresql://ann:hunter2@db.example:port/charter",
    ],
)
def test_an_unsupported_database_url_is_rejected_and_not_quoted(text: str) -> None:
    wanted = "a URL such as postgresql://user:password@host/name or sqlite:////folder/file"
    assert refusal(SHARED | {"DATABASE_URL": text}) == f"DATABASE_URL must be {wanted}"


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_an_in_memory_database_is_rejected(text: str) -> None:
    wanted = "a persistent database; for SQLite, add the path of a file"
    assert refusal(SHARED | {"DATABASE_URL": text}) == f"DATABASE_URL must be {wanted}"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ([], "CHARTER_SECRET and CHARTER_PEPPER"),
        (["CHARTER_SECRET"], "CHARTER_PEPPER"),
        (["CHARTER_PEPPER"], "CHARTER_SECRET"),
    ],
)
def test_a_shared_database_requires_the_secrets_as_settings(tmp_path: Path, given: list[str], missing: str) -> None:
    environ = {name: SHARED[name] for name in ("DATABASE_URL", *given)} | {"CHARTER_DATA_DIR": str(tmp_path / "data")}
    assert refusal(environ) == f"{missing} must be set, because several hosts can share the database; {MAKE_ONE}"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("name", "value"), [("CHARTER_SIGN_UP", "verified"), ("CHARTER_UNVERIFIED", "refused")])
def test_settings_that_need_mail_are_rejected_without_it(tmp_path: Path, name: str, value: str) -> None:
    assert refusal(SHARED | {name: value}) == f"CHARTER_SMTP_URL must be set, because {name} is {value}"
    mail = {"CHARTER_SMTP_URL": "smtp://mail.example", "CHARTER_MAIL_FROM": "a@example.com"}
    assert load(SHARED | mail | {name: value}).sends_mail
    # SQLite writes mails to files.
    assert load({"CHARTER_DATA_DIR": str(tmp_path), name: value}).sends_mail


@pytest.mark.parametrize(
    "text", ["off", "http://127.0.0.1:4318/v1/traces", "https://[::1]:4318", "https://otel.example/"]
)
def test_a_collector_is_given_by_its_url(text: str) -> None:
    assert load(SHARED | {"CHARTER_TRACES_URL": text}).traces_url == text


@pytest.mark.parametrize("text", ["on", "127.0.0.1:4318", "grpc://otel.example", "https://ann:hunter2@otel.example/"])
def test_an_invalid_collector_url_is_rejected_and_not_quoted(text: str) -> None:
    wanted = "off, or a URL such as http://127.0.0.1:4318/v1/traces, without a password"
    assert refusal(SHARED | {"CHARTER_TRACES_URL": text}) == f"CHARTER_TRACES_URL must be {wanted}"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("http://127.0.0.1:8080/auth/v1/", "http://127.0.0.1:8080/auth/v1"),
        ("http://[::1]:8080/auth", "http://[::1]:8080/auth"),
    ],
)
def test_the_public_url_is_the_default_of_the_issuer(text: str, url: str) -> None:
    environ = SHARED | {"CHARTER_PUBLIC_URL": text}
    assert (load(environ).public_url, load(environ).issuer) == (url, url)
    assert load(environ | {"CHARTER_ISSUER": "accounts"}).issuer == "accounts"


def test_links_in_mails_begin_with_the_public_url_by_default() -> None:
    environ, own = SHARED | {"CHARTER_PUBLIC_URL": "https://a.example.com/auth/"}, "https://b.example.com/#{code}"
    assert load(SHARED).link_url == ""
    assert load(environ).link_url == "https://a.example.com/auth/{action}#code={code}"
    assert load(environ | {"CHARTER_LINK_URL": own}).link_url == own


@pytest.mark.parametrize(
    "text",
    ["example.com", "/auth", "https://", "https://ann:hunter2@example.com", "https://example.com/?a=b", "ftp://a"],
)
def test_an_invalid_public_url_is_rejected_and_not_quoted(text: str) -> None:
    wanted = "a URL such as https://example.com/auth, without a query, of at most 255 characters"
    assert refusal(SHARED | {"CHARTER_PUBLIC_URL": text}) == f"CHARTER_PUBLIC_URL must be {wanted}"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Accounts.example.com/auth", "https://accounts.example.com"),
        ("https://example.com:443", "https://example.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost", "http://localhost"),
        ("http://LOCALHOST:80/auth", "http://localhost"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_cookies_are_for_the_origin_of_the_public_url(text: str, origin: str) -> None:
    config = load(SHARED | {"CHARTER_COOKIES": "refresh", "CHARTER_PUBLIC_URL": text})
    assert config.front_ends == {origin}
    app = "https://app.example.com"
    assert replace(config, cors_origins=(app,)).front_ends == {origin, app}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com:80",
        "http://192.168.1.5:8000",
        "http://[::2]",
    ],
)
def test_cookies_without_encryption_are_refused(text: str) -> None:
    wanted = "an https URL, or one with http and localhost or 127.0.0.1, because CHARTER_COOKIES is refresh"
    environ = SHARED | {"CHARTER_PUBLIC_URL": text}
    assert refusal(environ | {"CHARTER_COOKIES": "refresh"}) == f"CHARTER_PUBLIC_URL must be {wanted}"
    assert load(environ | {"CHARTER_COOKIES": "off"}).cookies == "off"


def test_a_collector_requires_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    wanted = "off unless OpenTelemetry is installed; install it with: pip install 'charter[otel]'"
    assert refusal(SHARED | {"CHARTER_TRACES_URL": "http://otel.example"}) == f"CHARTER_TRACES_URL must be {wanted}"
    assert load(SHARED).traces_url == "off"


@pytest.mark.parametrize("variable", ["CHARTER_ISSUER", "CHARTER_AUDIENCE", "CHARTER_CLIENT_ID"])
@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("https://accounts.example.com", True),
        ("urn:example:accounts", True),
        ("accounts", True),
        ("accounts.example.com", True),
        ("our accounts", False),
        ("https://accounts.example.com/our accounts", False),
        ("127.0.0.1:8000", False),
        (":", False),
        ("a" * 255, True),
        ("a" * 256, False),
        ("https://" + "a" * 248, False),
        ("dépôt", False),
    ],
)
def test_an_issuer_an_audience_and_a_client_id_is_a_url_or_a_name(variable: str, text: str, taken: bool) -> None:
    environ = SHARED | {variable: text}
    if taken:
        config = load(environ)
        assert text in {config.issuer, config.audience, config.client_id}
    else:
        assert (
            refusal(environ)
            == f"{variable} must be a URL, or a name without spaces and colons, of at most 255 ASCII characters"
        )


EQUAL = (
    "CHARTER_SECRET and CHARTER_PEPPER must differ; change CHARTER_SECRET, which logs all users out, and never "
    f"CHARTER_PEPPER, without which no password can be verified; {MAKE_ONE}"
)


@pytest.mark.parametrize("same", [SECRET.hex(), base64.urlsafe_b64encode(SECRET).decode()])
def test_a_secret_equal_to_the_pepper_is_rejected(same: str) -> None:
    assert refusal(SHARED | {"CHARTER_SECRET": SECRET.hex(), "CHARTER_PEPPER": same}) == EQUAL


def test_a_stored_secret_equal_to_the_pepper_is_rejected(tmp_path: Path) -> None:
    environ = {"CHARTER_DATA_DIR": str(tmp_path)}
    load(environ)
    (tmp_path / "secret").write_text((tmp_path / "pepper").read_text())
    assert refusal(environ) == EQUAL
    (tmp_path / "secret").unlink()
    assert refusal(environ | {"CHARTER_SECRET": (tmp_path / "pepper").read_text()}) == EQUAL


def test_errors_in_the_data_folder_are_listed_with_all_errors(tmp_path: Path) -> None:
    for name in ("secret", "pepper"):
        (tmp_path / name).write_bytes(b"\xff")
    assert refusal({"CHARTER_PORT": "http", "CHARTER_DATA_DIR": str(tmp_path)}).splitlines() == [
        "CHARTER_PORT must be a whole number from 0 to 65535",
        f"{tmp_path}/secret must contain {TOO_LITTLE}",
        f"{tmp_path}/pepper must contain {TOO_LITTLE}",
    ]


def test_all_errors_are_listed_at_once() -> None:
    environ = {
        "CHARTER_PORT": "65536",
        "DATABASE_URL": SHARED["DATABASE_URL"],
        "CHARTER_SECRET": "changeme",
        "CHARTER_ACCESS_TOKEN_SECONDS": "59",
        "CHARTER_BCRYPT_COST": "9",
        "CHARTER_BODY_BYTES": "1_024",
        "CHARTER_BODY_SECONDS": "\u0661",
        "CHARTER_LOG_FORMAT": "TEXT",
    }
    assert refusal(environ).splitlines() == [
        "CHARTER_PORT must be a whole number from 0 to 65535",
        f"CHARTER_SECRET must be {TOO_LITTLE}",
        "CHARTER_ACCESS_TOKEN_SECONDS must be a whole number from 60 to 86400",
        "CHARTER_BCRYPT_COST must be a whole number from 10 to 16",
        "CHARTER_BODY_BYTES must be a whole number from 1024 to 16777216",
        "CHARTER_BODY_SECONDS must be a whole number from 1 to 60",
        "CHARTER_LOG_FORMAT must be one of auto, text, json",
        f"CHARTER_PEPPER must be set, because several hosts can share the database; {MAKE_ONE}",
    ]


def test_without_settings_all_files_are_in_the_folder_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load({"CHARTER_PORT": ""})
    data = tmp_path / "data"
    assert (config.host, config.port, config.data_dir) == ("127.0.0.1", 8000, data)
    assert str(config.database_url) == f"sqlite:///{data}/charter.db"
    assert data.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in data.iterdir()} == {"pepper": 0o600, "secret": 0o600}
    assert len(config.secret) == len(config.pepper) == 32
    assert config.secret != config.pepper
    assert load({}) == config


def test_with_secrets_set_the_data_folder_has_only_the_database(tmp_path: Path) -> None:
    data = tmp_path / "far" / "away"
    config = load(SECRETS | {"CHARTER_DATA_DIR": str(data)})
    assert (config.secret, config.pepper) == (SECRET, PEPPER)
    assert list(data.iterdir()) == []


def test_a_secret_in_the_data_folder_obeys_the_same_rules(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("changeme\n")
    assert refusal({"CHARTER_DATA_DIR": str(tmp_path)}) == f"{tmp_path}/pepper must contain {TOO_LITTLE}"


def test_an_unusable_data_folder_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    data = tmp_path / "file" / "data"
    wrong = f"CHARTER_DATA_DIR must be a writable directory: {data}: Not a directory"
    assert refusal({"CHARTER_DATA_DIR": str(data)}) == wrong


@pytest.mark.slow
def test_processes_that_start_at_once_agree_on_the_secrets(tmp_path: Path) -> None:
    program = """
import sys
from api.config import load
print("ready", flush=True)
sys.stdin.read()
for start in range(20):
    config = load({"CHARTER_DATA_DIR": f"data/{start}"})
    print(config.secret.hex(), config.pepper.hex())
"""
    starts, shot = os.pipe()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={"PYTHONPATH": str(CHECKOUT)},
            stdin=starts,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    os.close(starts)
    os.close(shot)
    outputs = {process.communicate(timeout=PATIENCE_SECONDS)[0] for process in processes}
    assert len(outputs) == 1
    assert len(set(outputs.pop().split())) == 2 * 20
    assert {file.name for file in tmp_path.glob("data/*/*")} == {"pepper", "secret"}


def test_a_config_shows_no_secret() -> None:
    config = load(SHARED | {"DATABASE_URL": "postgresql://ann:hunter2@db.example/charter"})
    for secret in (SECRET, PEPPER):
        assert repr(secret) not in repr(config)
        assert secret.hex() not in repr(config)
    assert "hunter2" not in repr(config)
    assert repr(config).startswith("Config(host='127.0.0.1', port=8000, ")


def test_a_missing_pepper_is_not_replaced(tmp_path: Path) -> None:
    environ = {"CHARTER_DATA_DIR": str(tmp_path)}
    assert load(environ).pepper == load(environ).pepper
    (tmp_path / "charter.db").touch()
    (tmp_path / "pepper").unlink()
    remedy = "restore the file or set CHARTER_PEPPER"
    assert refusal(environ) == f"{tmp_path}/pepper is missing, and passwords cannot be verified without it; {remedy}"
    assert load(environ | {"CHARTER_PEPPER": PEPPER.hex()}).pepper == PEPPER

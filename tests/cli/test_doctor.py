"""`charter doctor` reports each fault of a deployment in one line, with a remedy."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

from api.cli import doctor
from api.config import Config
from api.crypto.access_tokens import LEEWAY_SECONDS
from api.storage import revisions
from api.storage.database import Database
from tests.support import databases
from tests.support.charter import Charter, beside
from tests.support.databases import LATIN1, created, on_postgresql, on_sqlite
from tests.support.mail_server import MailServer
from tests.support.person import PASSWORD

OTHER_SECRET = bytes(range(64, 96)).hex()


def examine(charter: Charter, *options: str, **settings: str) -> tuple[int, dict[str, str]]:
    """Return the exit code, and the findings for each subject."""
    charter.settings |= settings
    result = charter.run("doctor", *options)
    assert result.stderr == ""
    for secret in (charter.settings["CHARTER_SECRET"], charter.settings["CHARTER_PEPPER"], "hunter2"):
        assert secret not in result.stdout
    lines = [re.fullmatch("(ok|warning|wrong) +([a-z]+ ?[a-z]+)  +(.*)", line) for line in result.stdout.splitlines()]
    return result.returncode, {line[2]: f"{line[1]}: {line[3]}" for line in lines if line}


@pytest.fixture
def charter(config: Config, mail_host: MailServer) -> Charter:
    """Return an installation on each of the databases, with a signing key."""
    installed = beside(replace(config, data_dir=config.data_dir / "data"), mail_host.port)
    installed.data.mkdir(mode=0o700, parents=True)
    installed.folder = installed.data.parent
    assert installed.run("migrate").returncode == 0
    created = installed.run("users", "create", "root9", "root9@example.com", "--role", "admin", typed=PASSWORD.encode())
    assert created.returncode == 0
    return installed


def by_hand(charter: Charter, *statements: str) -> None:
    engine = create_engine(charter.settings["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def override(url: URL, function: str, kind: str, value: str) -> None:
    """Make PostgreSQL return another value for this function or setting from now on."""
    engine = create_engine(url)
    with engine.begin() as connection:
        make = f"CREATE FUNCTION public.{function}() RETURNS {kind} LANGUAGE sql AS $$ SELECT {value} $$"
        connection.execute(text(make))
        connection.execute(text(f"ALTER DATABASE {url.database} SET search_path = public, pg_catalog"))
    engine.dispose()


def test_a_sound_deployment_has_no_findings(charter: Charter) -> None:
    code, findings = examine(charter)
    assert code == 0
    assert {line.partition(":")[0] for line in findings.values()} == {"ok"}
    common = {
        "settings",
        "issuer",
        "algorithm",
        "data folder",
        "hashes",
        "database",
        "revision",
        "revocation",
        "schema",
    }
    common |= {"origins", "proxies", "mail", "outbox", "deletion", "roles"}
    its_own = {"disk"} if "sqlite" in charter.settings["DATABASE_URL"] else {"clock", "connections", "encoding"}
    assert findings.keys() == common | {"signing key"} | its_own


def test_the_hint_for_a_slow_hash_names_the_risk_of_a_lower_cost(charter: Charter) -> None:
    charter.settings["CHARTER_BCRYPT_COST"] = "16"
    _, findings = examine(charter)
    hint = "lower CHARTER_BCRYPT_COST, but not below 10"
    risk = "until users log in again, the time of a failed log-in reveals that they exist"
    assert findings["hashes"].startswith("warning: cost 16 takes ")
    assert findings["hashes"].endswith(f"; {hint}; {risk}")


def test_each_wrong_setting_is_a_line(charter: Charter) -> None:
    charter.settings |= {"CHARTER_PORT": "http", "CHARTER_HOSTT": "::"}
    result = charter.run("doctor")
    assert (result.returncode, result.stdout.splitlines()) == (
        1,
        [
            "wrong    settings     CHARTER_PORT must be a whole number from 0 to 65535",
            "wrong    settings     unknown setting CHARTER_HOSTT; did you mean CHARTER_HOST?",
        ],
    )


@pytest.mark.slow
def test_doctor_creates_nothing_before_the_first_start(tmp_path: Path) -> None:
    result = Charter(tmp_path, {}).run("doctor")
    files = ", ".join(f"{tmp_path}/data/{name}" for name in ("charter.db", "secret", "pepper"))
    advice = "run charter migrate to create what is missing, or correct CHARTER_DATA_DIR"
    expected = f"wrong    settings     not found: {files}; {advice}\n"
    assert (result.returncode, result.stdout, list(tmp_path.iterdir())) == (1, expected, [])


def test_unusual_settings_are_warnings_and_exit_with_0(charter: Charter) -> None:
    odd = {"CHARTER_HOST": "::", "CHARTER_SIGNING_ALGORITHM": "HS256", "CHARTER_CHECK_ANSWERS": "report"}
    by_hand(charter, "DELETE FROM signing_keys")
    code, findings = examine(charter, **odd)
    assert code == 0
    assert {subject: line for subject, line in findings.items() if not line.startswith("ok")} == {
        "issuer": "warning: tokens contain http://127.0.0.1:8000; set CHARTER_ISSUER to the public URL",
        "algorithm": "warning: HS256 keys are not published, so other services cannot verify tokens; ES256 keys are",
        "answers": "warning: each response is validated, which is meant for tests; unset CHARTER_CHECK_ANSWERS",
        "signing key": "warning: missing until the first log-in; run charter migrate to create one",
    }


def test_a_foreign_key_that_keeps_users_is_wrong(charter: Charter) -> None:
    kind = "CHAR(32)" if "sqlite" in charter.settings["DATABASE_URL"] else "UUID"
    by_hand(charter, f"CREATE TABLE letters (id INTEGER PRIMARY KEY, writer {kind} REFERENCES users (id))")
    code, findings = examine(charter)
    advice = "add ON DELETE CASCADE or SET NULL in a migration, or the deletion of a user fails"
    assert (code, findings["deletion"]) == (1, f"wrong: letters.writer: {advice}")


def test_tables_and_columns_that_no_migration_creates_are_wrong(charter: Charter) -> None:
    by_hand(charter, "ALTER TABLE users RENAME COLUMN email TO mail", "ALTER TABLE known_places RENAME TO places")
    code, findings = examine(charter)
    advice = "restore them, or write the migration that creates them: make migration NAME=..."
    line = f"wrong: the database lacks known_places and users.email, although its revision is the newest; {advice}"
    assert (code, findings["schema"]) == (1, line)
    result = charter.run("users", "list")
    (message,) = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (1, "")
    assert message.endswith(", or write the migration that creates it: make migration NAME=...")


def test_unknown_roles_and_a_missing_admin_are_warnings(charter: Charter) -> None:
    by_hand(charter, "UPDATE users SET disabled_at = created_at")
    advice = "charter users create NAME EMAIL --role admin creates one"
    assert examine(charter)[1]["roles"] == f"warning: there is no admin; {advice}"
    by_hand(charter, "UPDATE users SET role = 'editor'")
    fact = "users have the roles editor, which the contract lacks, so they have no scopes"
    advice = "add them to x-roles, or change them: charter users role NAME ROLE"
    assert examine(charter)[1]["roles"] == f"warning: {fact}; {advice}"


def test_missing_rate_limits_are_wrong(charter: Charter) -> None:
    code, findings = examine(charter, CHARTER_RATE_LIMITS="off")
    assert (code, findings["rate limits"]) == (
        1,
        "wrong: off, so anyone can guess passwords; unset CHARTER_RATE_LIMITS",
    )


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"CHARTER_PUBLIC_URL": "https://accounts.example.com"},
            "warning: HTTPS needs a proxy, and none is trusted, so all clients share its address; "
            "set CHARTER_TRUSTED_PROXIES to the address of the proxy",
        ),
        (
            {"CHARTER_PUBLIC_URL": "https://accounts.example.com", "CHARTER_TRUSTED_PROXIES": "10.0.0.0/8,::1"},
            "ok: 10.0.0.0/8, ::1 may state addresses in x-forwarded-for",
        ),
        (
            {"CHARTER_HOST": "unix:/run/charter.sock"},
            "warning: clients of a Unix socket have no address of their own; "
            "add unix to CHARTER_TRUSTED_PROXIES if only your proxy can use the socket",
        ),
        (
            {"CHARTER_HOST": "unix:/run/charter.sock", "CHARTER_TRUSTED_PROXIES": "unix"},
            "ok: unix may state addresses in x-forwarded-for",
        ),
        (
            {"CHARTER_TRUSTED_PROXIES": "unix"},
            "warning: unix has no effect on 127.0.0.1; name the address of your proxy",
        ),
    ],
)
@on_sqlite
def test_a_proxy_that_is_not_trusted_is_a_warning(charter: Charter, settings: dict[str, str], line: str) -> None:
    code, findings = examine(charter, **settings)
    assert (code, findings["proxies"]) == (0, line)


@pytest.mark.parametrize(
    ("origins", "line"),
    [
        (
            "http://localhost:5173,https://app.example.com",
            "warning: http://localhost:5173 lets every program on a user's "
            "computer call the API; remove it from CHARTER_CORS_ORIGINS in production",
        ),
        (
            "http://app.example.com",
            "warning: http://app.example.com is not encrypted, so an attacker can change its pages; use https",
        ),
        (
            "https://example.com",
            "warning: https://example.com is the origin of Charter itself, which needs no permission; remove it",
        ),
        ("https://app.example.com", "ok: https://app.example.com"),
    ],
)
@on_sqlite
def test_questionable_origins_are_warnings(charter: Charter, origins: str, line: str) -> None:
    code, findings = examine(charter, CHARTER_PUBLIC_URL="https://example.com/auth", CHARTER_CORS_ORIGINS=origins)
    assert (code, findings["origins"]) == (0, line)


def test_another_secret_does_not_open_the_signing_key(charter: Charter) -> None:
    code, findings = examine(charter, CHARTER_SECRET=OTHER_SECRET)
    assert code == 1
    advice = "is encrypted with another secret; set the same CHARTER_SECRET for all processes"
    assert re.fullmatch(f"wrong: [0-9a-f]{{16}} {advice}", findings["signing key"])


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("UPDATE alembic_version SET version_num = '0001'", "0001, but this release requires {}; run charter migrate"),
        ("DROP TABLE alembic_version", "none, but this release requires {}; run charter migrate"),
        ("UPDATE alembic_version SET version_num = '9999'", "9999 is from a later release; use that release"),
    ],
)
def test_a_database_of_another_release_is_wrong(charter: Charter, statement: str, line: str) -> None:
    by_hand(charter, statement)
    code, findings = examine(charter)
    assert (code, findings["revision"]) == (1, f"wrong: {line.format(revisions.head())}")


def test_an_unreachable_database_is_wrong(charter: Charter) -> None:
    code, findings = examine(charter, DATABASE_URL="postgresql://ann:hunter2@127.0.0.1:1/charter")
    assert code == 1
    assert re.fullmatch("wrong: connection failed: .*refused; check DATABASE_URL and the server", findings["database"])


def test_secrets_readable_by_other_users_are_wrong(charter: Charter) -> None:
    (charter.data / "secret").write_text("x")
    (charter.data / "secret").chmod(0o644)
    assert examine(charter)[0] == 0
    charter.data.chmod(0o755)
    code, findings = examine(charter)
    advice = f"wrong: other users of this host can read secret; run chmod 700 {charter.data}"
    assert (code, findings["data folder"]) == (1, advice)


def test_the_rights_of_the_data_folder_are_described_correctly(charter: Charter) -> None:
    (charter.data / "secret").write_text(charter.settings["CHARTER_SECRET"])
    (charter.data / "secret").chmod(0o600)
    charter.data.chmod(0o770)
    code, findings = examine(charter)
    assert code == 0
    fact = f"the group of {charter.data} can replace the database and the secrets in it; chmod 700 prevents that"
    assert findings["settings"] == f"warning: {fact}"
    assert findings["data folder"] == f"ok: only the owner can read the files in {charter.data}"


def test_unknown_variables_are_warnings(charter: Charter) -> None:
    code, findings = examine(charter, CHARTER_WEATHER="fair")
    assert (code, findings["settings"]) == (0, "warning: unknown setting CHARTER_WEATHER has no effect")


@on_sqlite
@pytest.mark.parametrize(("free", "verdict"), [(99_000_000, "wrong"), (900_000_000, "warning"), (10**10, "ok")])
@pytest.mark.slow
def test_a_full_disk_is_wrong(config: Config, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str) -> None:
    for name, value in beside(config).settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - free, free))
    (found,) = [found for found in doctor.run_checks(1) if found.subject == "disk"]
    advice = "" if verdict == "ok" else "; free some space"
    assert found == (verdict, "disk", f"{config.data_dir} has {free / 1e9:.1f} GB free{advice}")


@on_postgresql
@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (60, "wrong: [0-9.]+ s behind the database's clock; synchronize both with NTP, because .*"),
        (-60, "wrong: [0-9.]+ s ahead of the database's clock; synchronize both with NTP, because .*"),
        # Within the leeway, tokens still pass. Beyond it, they are rejected.
        (2 * LEEWAY_SECONDS, "wrong: [0-9.]+ s behind the database's clock; synchronize both with NTP, because .*"),
        (LEEWAY_SECONDS / 2, "warning: [0-9.]+ s behind the database's clock; synchronize both with NTP"),
    ],
)
def test_clocks_that_differ_are_wrong(config: Config, mail_host: MailServer, seconds: float, line: str) -> None:
    override(
        config.database_url, "clock_timestamp", "timestamptz", f"pg_catalog.clock_timestamp() + interval '{seconds} s'"
    )
    code, findings = examine(beside(config, mail_host.port))
    assert code == line.startswith("wrong")
    assert re.fullmatch(line, findings["clock"])


@on_postgresql
def test_more_processes_than_postgresql_has_connections_are_wrong(config: Config, mail_host: MailServer) -> None:
    charter = beside(config, mail_host.port)
    code, found = examine(charter, CHARTER_HASHES="4")
    assert (code, found["connections"]) == (0, "ok: up to 51 needed (workers: 1, each 51), PostgreSQL allows 97")
    charter.settings["CHARTER_WORKERS"] = "2"
    code, found = examine(charter, "--replicas", "2")
    fact = "up to 204 needed (workers: 4, each 51), PostgreSQL allows 97"
    advice = "raise max_connections, or lower CHARTER_HASHES or the number of workers"
    assert (code, found["connections"]) == (1, f"wrong: {fact}; {advice}")


def test_an_existing_database_without_utf8_is_wrong(
    postgres: URL, tmp_path: Path, mail_host: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Earlier releases migrated such a database.
    monkeypatch.setattr(revisions, "_require_utf8", lambda _: None)
    with created(postgres, "template0", LATIN1.replace("LATIN1", "SQL_ASCII")) as url:
        database = Database(url)
        revisions.upgrade(database.engine)
        database.dispose()
        code, findings = examine(beside(databases.settings(url, tmp_path), mail_host.port))
    advice = "create a database with ENCODING 'UTF8', and restore a dump there"
    assert (code, findings["encoding"]) == (1, f"wrong: SQL_ASCII, but Charter requires UTF8; {advice}")
    assert [subject for subject, line in findings.items() if line.startswith("wrong")] == ["encoding"]


@on_postgresql
def test_a_pooler_that_blocks_listen_is_a_warning(config: Config, mail_host: MailServer) -> None:
    override(config.database_url, "pg_backend_pid", "int", "1")
    code, findings = examine(beside(config, mail_host.port))
    reason = "LISTEN does not work through the connection pooler in front of PostgreSQL"
    assert (code, findings["revocation"]) == (0, f"warning: {reason}; each request queries the database instead")

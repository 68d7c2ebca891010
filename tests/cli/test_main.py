"""The `charter` command, in a process of its own with an environment of its own."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import click
import httpx
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.cli import main as cli
from api.clock import now
from api.config import Config
from api.crypto.access_tokens import AccessTokenCodec
from api.crypto.signing_keys import generate
from api.storage import revisions
from tests.support.charter import SECRETS, Charter, is_ready, until
from tests.support.paths import CHECKOUT
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.problems import assert_problem


def modes(folder: Path) -> dict[str, str]:
    """Return the permissions of the folder and of each file in it."""
    return {path.name: oct(path.stat().st_mode)[-3:] for path in (folder, *folder.iterdir())}


def test_help_names_every_command(charter: Charter) -> None:
    result = charter.run("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "Usage: charter [OPTIONS] COMMAND [ARGS]...\n"
        "\n"
        "  Accounts and tokens, spec-first.\n"
        "\n"
        "  All settings come from the environment, and check-config shows them. Without\n"
        "  any, Charter listens on 127.0.0.1:8000 and keeps its files in the folder\n"
        "  data.\n"
        "\n"
        "Options:\n"
        "  --version   Show the version and exit.\n"
        "  -h, --help  Show this message and exit.\n"
        "\n"
        "Commands:\n"
        "  check         Check the contract, or any OpenAPI document.\n"
        "  check-config  Show the settings, without the secrets.\n"
        "  doctor        Check this deployment and suggest how to fix each problem.\n"
        "  events        Read the audit log.\n"
        "  keys          Manage the keys that sign access tokens.\n"
        "  limits        Show and clear rate limits.\n"
        "  mail          List and retry mails, send a test mail, and preview mails.\n"
        "  migrate       Migrate the database to the schema of this release.\n"
        "  openapi       Print the contract as one JSON document.\n"
        "  serve         Serve the API until SIGTERM or Ctrl-C.\n"
        "  services      Manage the accounts of other services.\n"
        "  users         Manage the users.\n"
    )


def commands(group: click.Group = cli.main, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield each command with its full name, including subcommands."""
    for name, command in group.commands.items():
        yield f"{prefix}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")


def _value(argument: click.Argument) -> str:
    return str(UUID(int=7)) if argument.type is click.UUID else "x"


# All commands but those that create an installation, and those that need none.
EXISTING = [
    [
        *name.split(),
        *(_value(parameter) for parameter in command.params if isinstance(parameter, click.Argument)),
        *(
            f"{parameter.opts[0]}=x"
            for parameter in command.params
            if parameter.required and parameter.param_type_name == "option"
        ),
    ]
    for name, command in commands()
    if not isinstance(command, click.Group)
    and name.partition(" ")[0] in {"keys", "limits", "mail", "services", "users"}
    and name != "mail preview"
]


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_the_help_of_each_command_begins_with_its_short_help(name: str, command: click.Command) -> None:
    listed = command.get_short_help_str(limit=80)
    usage = command.get_help(click.Context(command, info_name=f"charter {name}"))
    assert re.match(rf"Usage: charter {name} \[OPTIONS\]( [A-Z. \[\]]+)?\n\n  {re.escape(listed)}\n", usage)
    assert not listed.endswith("...")


# The command reads no settings, so it describes no feature as off.
@pytest.mark.usefixtures("all_features")
def test_openapi_prints_the_published_contract(charter: Charter, config: Config) -> None:
    result = charter.run("openapi")
    assert (result.returncode, result.stderr) == (0, "")
    with TestClient(create_app(replace(config, rate_limits=()))) as client:
        assert json.loads(result.stdout) == client.get("/openapi.json").json()
    assert not charter.data.exists()


@pytest.mark.parametrize("settings", [{}, SECRETS], ids=["", "secrets"])
@pytest.mark.parametrize("arguments", EXISTING, ids=" ".join)
def test_a_command_for_an_existing_installation_creates_none(
    charter: Charter, arguments: list[str], settings: dict[str, str]
) -> None:
    charter.settings = settings
    result = charter.run(*arguments)
    names = ("charter.db",) if settings else ("charter.db", "secret", "pepper")
    files = ", ".join(str(charter.data / name) for name in names)
    remedy = "run charter migrate to create what is missing, or correct CHARTER_DATA_DIR"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"Error: not found: {files}; {remedy}\n"
    assert list(charter.folder.iterdir()) == []


def test_a_database_that_lacks_migrations_is_named_without_a_heading(charter: Charter) -> None:
    charter.settings = {**SECRETS}
    charter.data.mkdir(mode=0o700)
    (charter.data / "charter.db").touch()
    for arguments in (["users", "list"], ["keys", "list"]):
        result = charter.run(*arguments)
        reason = "The database is at another revision. Run charter migrate of the newest release and start it."
        assert (result.returncode, result.stdout, result.stderr) == (1, "", f"Error: {reason}\n")


@pytest.mark.parametrize("arguments", [["serve"], ["migrate"], ["check-config"], ["users", "list"], ["doctor"]])
def test_a_database_in_a_missing_folder_is_a_wrong_setting(charter: Charter, arguments: list[str]) -> None:
    charter.settings = {"DATABASE_URL": f"sqlite:///{charter.folder}/none/x.db"}
    result = charter.run(*arguments)
    assert result.returncode == 1
    assert (
        f"DATABASE_URL must name a file in an existing folder: {charter.folder}/none does not exist; "
        "create it, or correct the path\n"
    ) in result.stdout + result.stderr
    assert list(charter.folder.iterdir()) == []


def test_an_unusable_data_folder_is_named_in_the_error(charter: Charter) -> None:
    charter.data.write_text("a file")
    result = charter.run("migrate")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"Error: CHARTER_DATA_DIR must be a writable directory: {charter.data}: Not a directory\n"


def test_an_invalid_contract_is_reported_in_one_line(charter: Charter) -> None:
    for name in ("api", "migrations", "openapi"):
        shutil.copytree(CHECKOUT / name, charter.folder / name)
    system = charter.folder / "openapi" / "system.yaml"
    line = system.read_text().count("\n") + 1
    system.write_text(f"{system.read_text()}    User:\n      type: object\n")
    charter.settings = {"PYTHONPATH": str(charter.folder)}
    fault = "schemas > User: schemas > User is defined twice, here and in profile.yaml"
    expected = (1, "", f"Error: system.yaml:{line}: {fault}\n")
    for command in ("openapi", "serve"):
        result = charter.run(command)
        assert (result.returncode, result.stdout, result.stderr) == expected


def test_a_second_migration_changes_nothing(charter: Charter) -> None:
    first = charter.run("migrate")
    assert (first.returncode, first.stdout, first.stderr) == (
        0,
        f"The database is at revision {revisions.head()}.\n",
        "",
    )
    kept = {file: file.read_bytes() for file in charter.data.iterdir()}
    assert {file.name for file in kept} == {"charter.db", "pepper", "secret"}
    again = charter.run("migrate")
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")
    assert {file: file.read_bytes() for file in charter.data.iterdir()} == kept


def test_serve_is_ready_after_migrating_and_writes_private_files(charter: Charter) -> None:
    # The shipped limits: an empty setting counts as unset.
    charter.settings["CHARTER_RATE_LIMITS"] = ""
    with charter.serving() as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/ping").json() == {"status": "running"}
        behind = client.get("/ready")
        assert_problem(behind, 503, "MIGRATIONS_BEHIND")
        assert_problem(Person(client, "alice").sign_up(), 503, "MIGRATIONS_BEHIND")
        assert charter.run("migrate").returncode == 0
        assert client.get("/ready").json() == {"status": "ready"}
        assert [client.get(path).status_code for path in ("/docs", "/openapi.json")] == [200, 200]
        assert newcomer(client, "alice").get("/api/v1/me").status_code == 200
        # Background tasks open the file of the rate limits, and write the mail of the sign-up to a file.
        until(lambda: {"charter.db-limits-wal", "mail"} <= modes(charter.data).keys())
        assert modes(charter.data) == {
            "data": "700",
            "charter.db": "600",
            "charter.db-limits": "600",
            "charter.db-limits-shm": "600",
            "charter.db-limits-wal": "600",
            "charter.db-shm": "600",
            "charter.db-wal": "600",
            "mail": "700",
            "pepper": "600",
            "secret": "600",
        }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_without_a_migration_logs_the_command(charter: Charter, workers: str) -> None:
    # Background tasks would log their own failures.
    charter.settings["CHARTER_BACKGROUND"] = "off"
    with charter.serving("--workers", workers) as server:
        until(lambda: "migrations_behind" in server.log.read_text())
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (warning,) = [line for line in lines if line["event"] == "migrations_behind"]
    hint = "The database is at another revision. Run charter migrate of the newest release and start it."
    assert (warning["level"], warning["hint"]) == ("warning", hint)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_without_an_admin_logs_the_command_once(migrated: Charter, workers: str) -> None:
    with migrated.serving("--workers", workers) as server:
        until(lambda: "no_admin" in server.log.read_text())
        until(lambda: is_ready(server.url))
        server.stop()
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (found,) = [line for line in lines if line["event"] == "no_admin"]
    assert (found["level"], found["hint"]) == ("info", "charter users create NAME EMAIL --role admin")
    created = migrated.run("users", "create", "root9", "root9@example.com", "--role", "admin", typed=PASSWORD.encode())
    assert created.returncode == 0
    server.log.unlink()
    with migrated.serving("--workers", workers) as server:
        until(lambda: is_ready(server.url))
        server.stop()
    assert "no_admin" not in server.log.read_text()


def test_a_restart_keeps_users_valid_tokens_and_revocations(migrated: Charter) -> None:
    with migrated.serving() as server, httpx.Client(base_url=server.url) as client:
        alice, bobby = newcomer(client, "alice"), newcomer(client, "bobby")
        assert bobby.log_out().status_code == 204
        assert server.stop(signal.SIGTERM) == 0
    with migrated.serving() as server, httpx.Client(base_url=server.url) as client:
        assert Person(client, "alice", token=alice.token).get("/api/v1/me").json()["id"] == alice.id
        refused = Person(client, "bobby", token=bobby.token).get("/api/v1/me")
        assert_problem(refused, 401, "INVALID_TOKEN")
        assert Person(client, "bobby").log_in().status_code == 200
        assert server.stop(signal.SIGINT) == 0


def test_a_stalled_client_does_not_delay_a_stop(migrated: Charter) -> None:
    migrated.settings = {"CHARTER_BODY_SECONDS": "60"}
    with migrated.serving() as server:
        address = httpx.URL(server.url)
        with socket.create_connection((address.host, address.port)) as stalled:
            stalled.sendall(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            assert httpx.get(f"{server.url}/ping").status_code == 200
            assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


def test_one_worker_logs_and_ignores_sighup(migrated: Charter) -> None:
    with migrated.serving() as server:
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "sighup_ignored" in server.log.read_text())
        assert httpx.get(f"{server.url}/ping").status_code == 200
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (line,) = [line for line in lines if line["event"] == "sighup_ignored"]
    hint = "SIGHUP replaces workers one by one, which needs charter serve --workers 2 or more"
    assert (line["level"], line["hint"]) == ("warning", hint)


def test_logs_are_json_lines_if_the_output_is_not_a_terminal(migrated: Charter) -> None:
    # The mail of the sign-up would be another line.
    migrated.settings["CHARTER_BACKGROUND"] = "off"
    with migrated.serving() as server, httpx.Client(base_url=server.url) as client:
        alice = newcomer(client, "alice")
        response = alice.get("/protected")
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if "no_admin" not in line]
    assert [line["event"] for line in lines] == ["user_created", "request", "session_issued", "request", "request"]
    last = lines[-1]
    assert last == {
        "time": last["time"],
        "level": "info",
        "logger": "charter.requests",
        "event": "request",
        "request_id": response.headers["x-request-id"],
        "address": "127.0.0.1",
        "user_id": alice.id,
        "method": "GET",
        "path": "/protected",
        "status": 200,
        "ms": last["ms"],
    }


def test_logs_are_text_on_a_terminal(migrated: Charter) -> None:
    ours, theirs = pty.openpty()
    with migrated.serving(terminal=theirs) as server:
        request_id = httpx.get(f"{server.url}/ping").headers["x-request-id"]
        assert server.stop() == 0
    os.close(theirs)
    (line,) = [line for line in os.read(ours, 4096).decode().splitlines(keepends=True) if "/ping" in line]
    os.close(ours)
    plain = re.sub("\x1b\\[[0-9]+m", "", line)
    assert plain != line
    assert re.fullmatch(rf"[0-9:]{{8}} 200 GET /ping [0-9.]+ ms id=\.\.\.{request_id[-6:]}\r\n", plain)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_stops_the_server_if_its_terminal_was_closed(migrated: Charter, workers: str) -> None:
    ours, theirs = pty.openpty()
    with migrated.serving("--workers", workers, terminal=theirs) as server:
        os.close(theirs)
        until(lambda: is_ready(server.url))
        os.close(ours)
        assert server.stop(signal.SIGHUP) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_that_is_not_read_blocks_neither_requests_nor_a_stop(migrated: Charter, workers: str) -> None:
    readable, writable = os.pipe()
    with (
        os.fdopen(readable),
        os.fdopen(writable, "w"),
        migrated.serving("--workers", workers, terminal=writable) as server,
    ):
        until(lambda: is_ready(server.url))
        with httpx.Client(base_url=server.url) as client:
            # The pipe takes 64 KiB, which are about 300 lines.
            assert {client.get("/ping").status_code for _ in range(600)} == {200}
        assert server.stop() == 0


def test_an_unreachable_database_is_reported_and_authenticates_nothing(charter: Charter) -> None:
    charter.settings = {
        "DATABASE_URL": "postgresql://charter:hunter2@127.0.0.1:1/charter",
        **SECRETS,
    }
    result = charter.run("migrate")
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(
        r"Error: postgresql\+psycopg://charter:\*\*\*@127\.0\.0\.1:1/charter cannot be migrated: "
        r"connection failed: .*Connection refused; check DATABASE_URL and the server\n",
        result.stderr,
    )
    made = AccessTokenCodec("http://127.0.0.1:8000", "charter", "charter", 900)
    times = {"ends_at": now() + timedelta(days=1), "authenticated_at": now()}
    token = made.encode(generate("ES256"), uuid4(), uuid4(), "profile", **times)
    with charter.serving() as server, httpx.Client(base_url=server.url) as client:
        alice = Person(client, "alice", token=token)
        assert client.get("/ping").status_code == 200
        for response in (
            alice.get("/ready"),
            alice.sign_up(),
            Person(client, "alice").log_in(),
            alice.get("/protected"),
            alice.get("/api/v1/me"),
            alice.log_out(),
        ):
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert response.json() == {
                "type": "about:blank",
                "title": "Service Unavailable",
                "status": 503,
                "detail": "The database cannot be used now. Try again after the number of seconds in Retry-After.",
                "code": "DATABASE_UNAVAILABLE",
            }
        assert server.stop() == 0
    assert "hunter2" not in server.log.read_text()


def test_a_database_of_a_later_release_is_not_changed(migrated: Charter) -> None:
    file = migrated.data / "charter.db"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    result = migrated.run("migrate")
    assert (result.returncode, result.stdout) == (1, "")
    reason = "unknown revision 9999; use the release that migrated the database to it"
    assert result.stderr == f"Error: sqlite:///{file} cannot be migrated: {reason}\n"

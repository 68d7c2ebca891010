"""The `charter services` commands, beside a running service."""

from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.config import Config
from api.services.service_accounts import NewSecret
from tests.support.charter import Charter, beside, until
from tests.support.databases import on_sqlite
from tests.support.service_accounts import introspect


@pytest.fixture
def charter(config: Config) -> Charter:
    return beside(config)


def run(charter: Charter, *arguments: str) -> str:
    """Run a command that succeeds, and return its output."""
    result = charter.run("services", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def credentials(output: str) -> NewSecret:
    """Return the credentials that a command has printed."""
    printed = dict(line.split() for line in output.splitlines())
    return NewSecret(UUID(printed["client_id"]), printed["client_secret"])


def test_commands_manage_a_service_account(client: TestClient, charter: Charter) -> None:
    first = credentials(run(charter, "create", "billing", "--scope", "tokens:introspect"))
    assert introspect(client, first, "a").status_code == 200
    second = credentials(run(charter, "rotate", "BILLING"))
    until(lambda: [introspect(client, each, "a").status_code for each in (first, second)] == [401, 200])
    assert run(charter, "disable", "billing") == "billing is disabled.\n"
    until(lambda: introspect(client, second, "a").status_code == 401)
    heading, line = run(charter, "list").splitlines()
    assert heading.split() == ["CREATED", "STATE", "CLIENT", "ID", "NAME", "SCOPES"]
    assert line.split()[1:] == ["disabled", str(first.client_id), "billing", "tokens:introspect"]
    assert run(charter, "enable", "billing") == "billing is enabled.\n"
    until(lambda: introspect(client, second, "a").status_code == 200)
    refused = charter.run("services", "delete", "billing")
    assert refused.stderr == (
        "Error: run charter services delete billing --yes to delete the service account without a prompt\n"
    )
    assert run(charter, "delete", "billing", "--yes") == "billing is deleted.\n"
    assert len(run(charter, "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "billing", "--scope", "users:write"], "scopes/0: Must be one of: tokens:introspect."),
        (["create", "billing", "--scope", "tokens:introspect"], "Another service account has that name."),
        (["delete", "reporting"], "no such service account: reporting"),
    ],
)
@on_sqlite
def test_mistakes_are_explained(charter: Charter, arguments: list[str], message: str) -> None:
    run(charter, "create", "billing", "--scope", "tokens:introspect")
    result = charter.run("services", *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == f"Error: {message}"

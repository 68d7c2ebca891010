"""The modules that a command loads: the start is fast because unneeded ones are left out."""

import pytest

from tests.support.charter import Charter


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--help"], {"alembic", "connexion", "sqlalchemy", "uvicorn"}),
        (["--version"], {"alembic", "connexion", "sqlalchemy", "uvicorn"}),
        (["migrate"], {"api.app", "connexion", "flask", "uvicorn"}),
        (["check-config"], {"alembic", "connexion", "uvicorn"}),
        (["mail", "preview", "test"], {"alembic", "api.app", "smtplib", "uvicorn"}),
    ],
)
def test_a_command_loads_only_the_modules_it_needs(charter: Charter, arguments: list[str], unneeded: set[str]) -> None:
    # A change of a rate limit is checked with the contract.
    charter.settings["CHARTER_RATE_LIMITS"] = ""
    loaded = _loaded(charter, "main(standalone_mode=False)", *arguments)
    assert "api.cli.main" in loaded
    assert not loaded & unneeded


def test_migrate_does_not_load_alembic_if_the_database_is_up_to_date(migrated: Charter) -> None:
    loaded = _loaded(migrated, "main(standalone_mode=False)", "migrate")
    assert "api.storage.revisions" in loaded
    assert "alembic" not in loaded


# Stop the server as soon as it begins to serve.
SERVE = "import uvicorn; uvicorn.Server.run = lambda *_, **__: None; main(standalone_mode=False)"


UNNEEDED = {
    "alembic",
    "email_validator",
    "httpx",
    "mako",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "requests",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "starlette.testclient",
    "urllib3",
}
# Imported once a mail is due.
MAIL = {"api.services.mail_delivery", "api.services.mail_message", "api.services.mail_transport", "smtplib"}
TEMPLATES = {"api.services.mail_templates", "jinja2.sandbox"}


def test_a_server_loads_only_the_modules_it_needs(migrated: Charter) -> None:
    migrated.settings = {"CHARTER_SMTP_URL": "smtp://mail.example.com", "CHARTER_MAIL_FROM": "a@example.com"}
    loaded = _loaded(migrated, SERVE, "serve")
    assert "api.handlers.auth" in loaded
    assert not loaded & (UNNEEDED | MAIL | TEMPLATES)


def test_a_server_with_own_templates_also_loads_the_modules_of_templates(migrated: Charter) -> None:
    migrated.settings["CHARTER_MAIL_TEMPLATES"] = str(migrated.folder)
    loaded = _loaded(migrated, SERVE, "serve")
    assert loaded >= TEMPLATES
    assert not loaded & (UNNEEDED | MAIL)


def test_modules_that_the_server_skips_can_be_imported_later(migrated: Charter) -> None:
    program = f"{SERVE}; import httpx, requests; from starlette.testclient import TestClient"
    assert {"httpx._client", "requests.api"} <= _loaded(migrated, f"{program}; assert TestClient", "serve")


def _loaded(charter: Charter, program: str, *arguments: str) -> set[str]:
    """Return the names of all modules that a Python program has loaded at its end. `main` is the command."""
    program = f"import sys; from api.cli.main import main; {program}; print(*sys.modules)"
    return set(charter.run_python(program, *arguments).split())

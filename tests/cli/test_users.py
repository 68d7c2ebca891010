"""The `charter users` commands, beside a running service."""

import os
import subprocess
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from api.config import Config
from tests.features.test_sessions import ACTIVE, ENDED, log_in_again, session_state
from tests.features.test_sign_up import complete
from tests.support.charter import Charter, beside, until
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.mailbox import Mailbox
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.types import Travel
from tests.support.workers import worker

NEW = "a better battery for this horse"
RULES = "Must be hard to guess."


@pytest.fixture
def charter(config: Config) -> Charter:
    return beside(config)


def run(charter: Charter, *arguments: str, typed: str | bytes = "") -> tuple[int, str, str]:
    """Run a command with this standard input. Return the exit code, the output and the errors without log lines."""
    result = charter.run("users", *arguments, typed=typed.encode() if isinstance(typed, str) else typed)
    errors = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    return result.returncode, result.stdout, "\n".join(errors)


def test_a_created_user_can_log_in_and_is_listed_and_shown(charter: Charter, server: str) -> None:
    with httpx.Client(base_url=server) as client:
        bobby = newcomer(client, "bobby")
        created = run(charter, "create", "Alice", "Alice@Example.com", typed=f"{PASSWORD}\n")
        assert created == (0, "Alice is created.\n", "")
        alice = Person(client, "alice")
        assert [alice.log_in().status_code for _ in range(3)] == [200] * 3
        profiles = {person.username: person.get("/api/v1/me").json() for person in (bobby, alice)}
        charter.run("users", "disable", "bobby")
        times = {name: profile["created_at"] for name, profile in profiles.items()}
        assert charter.run("users", "list").stdout.splitlines() == [
            "CREATED                   STATE     ROLE      USERNAME              EMAIL",
            f"{times['bobby']}  disabled  user      bobby                 bobby@example.com",
            f"{times['alice']}  enabled   user      Alice                 Alice@example.com",
        ]
        assert charter.run("users", "show", "ALICE@example.com").stdout.splitlines() == [
            f"id        {profiles['alice']['id']}",
            "username  Alice",
            "email     Alice@example.com",
            "role      user",
            "verified  no",
            f"created   {times['alice']}",
            "state     enabled",
            "sessions  3",
        ]


def test_the_list_has_every_user_of_several_pages(charter: Charter, server: str) -> None:
    names = [f"user{number}" for number in range(5)]
    with httpx.Client(base_url=server) as client:
        for name in names:
            assert Person(client, name).sign_up().status_code == 201
    listing = "from api.cli import main, users; users._PAGE = 2; main.main(['users', 'list'])"
    shown = charter.run_python(listing)
    assert [line.split()[3] for line in shown.splitlines()[1:]] == names


def test_the_first_admin_is_created_and_the_last_one_stays(charter: Charter, server: str) -> None:
    given = ("create", "root9", "root9@example.com", "--role", "admin")
    assert run(charter, *given, typed=PASSWORD) == (0, "root9 is created.\n", "")
    code, output, errors = run(charter, *given, typed=PASSWORD)
    assert (code, output, errors[-18:]) == (1, "", "is already in use.")
    error = "root9 is the only admin; make another user an admin first: charter users role NAME admin"
    with httpx.Client(base_url=server) as client:
        root, alice = Person(client, "root9"), newcomer(client, "alice")
        assert "users:write" in root.log_in().json()["scope"].split()
        for refused in (("role", "root9", "user"), ("disable", "root9"), ("delete", "root9", "--yes")):
            assert run(charter, *refused) == (1, "", f"Error: {error}")
        assert session_state(root) == ACTIVE
        no_role = "Error: no such role: editor; there are admin, support, user"
        assert run(charter, "role", "alice", "editor") == (1, "", no_role)
        assert run(charter, "role", "carol", "admin") == (1, "", "Error: no such user: carol")
        assert run(charter, "role", "Alice@example.com", "admin") == (0, "alice has the role admin.\n", "")
        assert run(charter, "role", "root9", "support") == (0, "root9 has the role support.\n", "")
        until(lambda: root.get("/api/v1/me").json()["role"] == "support")
        alice.log_in()
        assert alice.get("/api/v1/users").status_code == 200


def test_a_set_password_ends_all_sessions_of_the_user(charter: Charter, server: str) -> None:
    with httpx.Client(base_url=server) as client:
        alice, bobby = newcomer(client, "alice"), newcomer(client, "bobby")
        phone = log_in_again(alice)
        changed = run(charter, "set-password", "alice@example.com", typed=f"{NEW}\r\n")
        assert changed == (0, "alice has a new password.\n", "")
        until(lambda: session_state(alice) == ENDED)
        assert [session_state(person) for person in (phone, bobby)] == [ENDED, ACTIVE]
        assert [alice.log_in().status_code, alice.log_in(password=NEW).status_code] == [401, 200]


@pytest.mark.parametrize(
    ("arguments", "typed", "wanted"),
    [
        (("create", "carol", "carol@example.com"), "password12345", f"Error: password: {RULES}"),
        (("create", "carol", "carol@example.com"), "", "Error: password: Must be at least 8 characters."),
        (("create", "carol", "carol@example.com"), "it is carol", "Error: The password must not contain the username"),
        (("create", "admin", "carol@example.com"), PASSWORD, "Error: username: Must be 5 to 80 ASCII letters"),
        (("create", "carol", "carol"), PASSWORD, "Error: email: Must be an email address"),
        (("create", "ALICE", "carol@example.com"), PASSWORD, "Error: That username is already in use."),
        (("create", "carol", "ALICE@example.com"), PASSWORD, "Error: That email is already in use."),
        (("create", "carol", "carol@example.com"), b"\xff" * 8, "Error: the password must be valid UTF-8"),
        (("set-password", "alice"), "aaaaaaaa", f"Error: password: {RULES}"),
        (("set-password", "alice"), "i am ALICE", "Error: The password must not contain the username"),
        (("set-password", "alice"), "x" * 5000, "Error: password: Must be at most 128 characters."),
        (("set-password", "carol"), PASSWORD, "Error: no such user: carol"),
        (("show", "carol"), "", "Error: no such user: carol"),
        (("create", "carol", "carol@example.com", "--role", ""), PASSWORD, "Error: no such role: ; there are admin"),
    ],
)
@pytest.mark.parametrize("config", ["sqlite"], indirect=True)
def test_rejected_values_change_nothing(
    charter: Charter, server: str, arguments: tuple[str, ...], typed: str | bytes, wanted: str
) -> None:
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
        code, output, errors = run(charter, *arguments, typed=typed)
        assert (code, output) == (1, "")
        assert errors.startswith(wanted)
        assert session_state(alice) == ACTIVE
        assert alice.log_in().status_code == 200
    assert len(charter.run("users", "list").stdout.splitlines()) == 2


@pytest.mark.parametrize("config", ["sqlite"], indirect=True)
def test_a_terminal_asks_twice_and_shows_nothing(charter: Charter, server: str) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [charter.command, "users", "create", "alice", "alice@example.com"],
        cwd=charter.folder,
        env=charter.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    with process:
        seen = ""
        for prompt in ("Password: ", "Repeat for confirmation: "):
            while prompt not in seen:
                seen += os.read(ours, 1024).decode()
            os.write(ours, f"{PASSWORD}\n".encode())
        while "is created." not in seen:
            seen += os.read(ours, 1024).decode()
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
    # Linux reports the end of a terminal as an error.
    with suppress(OSError):
        while True:
            seen += os.read(ours, 1024).decode()
    os.close(ours)
    assert PASSWORD not in seen
    # The output of the command says the same as the event.
    assert "user_created" not in seen
    with httpx.Client(base_url=server) as client:
        assert Person(client, "alice").log_in().status_code == 200


@pytest.mark.slow
def test_an_invitation_completes_a_sign_up_in_each_mode(config: Config, mailbox: Mailbox, travel: Travel) -> None:
    charter = beside(config, mailbox.server.port)
    with worker(replace(config, sign_up="closed")) as client:
        said = run(charter, "invite", "Carol@EXAMPLE.com", "--locale", "de")
        # The jumps add up to less than the 7 days of an invitation, because the clock also runs between them.
        travel(timedelta(hours=23))
        code = mailbox.deliver().code("Carol@example.com")
        assert mailbox.server.message()["Subject"] == "Charter: Sie sind eingeladen"
        travel(timedelta(days=3))
        assert run(charter, "invite", "Carol@EXAMPLE.com") == said
        assert mailbox.deliver().code() == code
        travel(timedelta(days=3))
        assert complete(client, code).json()["email"] == "Carol@example.com"
        # A user who has the email gets another mail, and the command reveals nothing.
        assert run(charter, "invite", "Carol@EXAMPLE.com", "--locale", "de") == said
    assert mailbox.deliver().message()["Subject"] == "Charter: Sie haben bereits ein Konto"
    waits = "A mail to Carol@EXAMPLE.com waits. A running service sends it within seconds"
    assert said == (0, f"{waits}, unless the mail server is down.\n", "")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("carol",), "Error: email: Must be an email address"),
        (("carol@example.com", "--locale", "fr"), "Error: no templates are in fr; there are en, de"),
    ],
)
@on_sqlite
def test_an_invalid_invitation_is_not_sent(charter: Charter, arguments: tuple[str, ...], error: str) -> None:
    code, output, errors = run(charter, "invite", *arguments)
    assert (code, output, errors[: len(error)]) == (1, "", error)


@on_postgresql
def test_an_invitation_needs_mail(charter: Charter) -> None:
    error = "Error: CHARTER_SMTP_URL must be set, because the invitation is a mail"
    assert run(charter, "invite", "carol@example.com") == (1, "", error)

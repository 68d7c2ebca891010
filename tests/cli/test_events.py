"""The `charter events` command."""

import pytest

from api.config import Config
from tests.support.admins import USERS
from tests.support.charter import beside
from tests.support.databases import on_sqlite
from tests.support.person import Person
from tests.support.roles import promote


@pytest.mark.slow
@on_sqlite
def test_the_command_lists_the_newest_events_first(config: Config, alice: Person) -> None:
    alice.log_in(password="wrong")
    alice.log_in()
    charter = beside(config)
    lines = [line.split() for line in charter.run("events", "list", "--limit", "3").stdout.splitlines()]
    assert lines[0] == ["TIME", "EVENT", "USER", "ACTOR", "FACTS"]
    assert [line[1:] for line in lines[1:]] == [
        [event, alice.id, "anonymous"] for event in ("session_issued", "log_in_failed", "session_issued")
    ]
    for user in ("alice", alice.id):
        (line,) = charter.run("events", "list", "--user", user, "--event", "log_in_failed").stdout.splitlines()[1:]
        assert line.split()[1:] == ["log_in_failed", alice.id, "anonymous"]
    known = charter.run("events", "list", "--event", "log_in_faild")
    assert (known.returncode, known.stdout) == (1, "")
    assert known.stderr == "Error: no such event: log_in_faild; did you mean log_in_failed?\n"
    unknown = charter.run("events", "list", "--event", "nonsense").stderr
    assert unknown.startswith("Error: no such event: nonsense; there are api_key_changed, api_key_created, ")
    assert charter.run("events", "list", "--event", "user_deleted").stdout.split() == lines[0]
    assert charter.run("events", "list", "--user", "nobody").stderr == "Error: no such user: nobody\n"


@pytest.mark.slow
@on_sqlite
def test_the_command_names_an_actor_who_is_another_user(config: Config, alice: Person, bobby: Person) -> None:
    promote(config, bobby, "admin")
    assert bobby.post(f"{USERS}/{alice.id}/disable").status_code == 204
    line, _ = beside(config).run("events", "list", "--limit", "2", "--user", alice.id).stdout.splitlines()[1:]
    assert line.split()[1:] == ["user_disabled", alice.id, "user", f"actor_id={bobby.id}"]

"""A rolling upgrade: workers of the last release run beside the new ones on the migrated database, under load."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from threading import Event, Thread
from time import sleep

import httpx
import pytest

from api.config import Config
from tests.soak.chaos.clients import Live, session_id
from tests.soak.chaos.journal import Journal
from tests.soak.chaos.load import Load
from tests.soak.chaos.verdict import judge
from tests.support.charter import Charter, beside, free_port, until
from tests.support.installations import DATABASES
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import Person, newcomer
from tests.support.released import released_command

# Long enough for some hundred requests of each kind between two steps of the upgrade.
STEP_SECONDS = 2


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The `charter` command of the last release."""
    return released_command(tmp_path)


@contextmanager
def serving(charter: Charter, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server of either release on a port, until the block ends."""
    environment = charter.environment | {"CHARTER_PORT": str(port)}
    log = charter.folder / f"log-{charter.command.parent.name}-{port}"
    with log.open("wb") as file:
        command = [str(charter.command), "serve"]
        process = subprocess.Popen(command, cwd=charter.folder, env=environment, stdout=subprocess.DEVNULL, stderr=file)
    with process:
        try:
            until(lambda: _responds(port))
            yield process
        finally:
            process.kill()


def _responds(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(timeout=PATIENCE_SECONDS) == 0


@dataclass
class Users:
    """Users whose every request must succeed on each server that listens. They alternate between the servers."""

    urls: Iterator[str]
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    over: Event = field(default_factory=Event)

    @contextmanager
    def asking(self, people: list[Person]) -> Iterator[None]:
        """Send requests of these users in the background, until the block ends."""
        threads = [Thread(target=self._ask, args=(person,)) for person in people]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def _ask(self, person: Person) -> None:
        while not self.over.wait(0.02):
            self._count("profile", person, lambda: person.get("/api/v1/me"))
            self._count("refresh", person, person.refresh)
            self._count("token", person, lambda: person.get("/protected"))
            self._count("list", person, lambda: person.get("/api/v1/sessions"))
            if sum(self.statuses.values()) % 7 == 0:
                self._count("log-out", person, person.log_out)
                self._count("log-in", person, person.log_in)

    def _count(self, name: str, person: Person, send: Callable[[], httpx.Response]) -> None:
        # A server that has stopped refuses the connection, and the next one responds.
        for _ in range(100):
            with suppress(httpx.TransportError), httpx.Client(base_url=next(self.urls), timeout=30) as person.client:
                self.statuses[name, send().status_code] += 1
                return
            sleep(0.05)
        self.statuses[name, 0] += 1


def server_errors(folder: Path) -> list[str]:
    """Return the log lines of all responses with a 5xx, other than those of the readiness check."""
    lines = [line for log in folder.glob("log-*") for line in log.read_text().splitlines()]
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [str(facts) for facts in found if facts.get("status", 0) >= 500 and facts.get("path") != "/ready"]


@pytest.mark.parametrize("database", DATABASES)
def test_a_rolling_upgrade_fails_no_request_and_loses_no_session(released: Path, tmp_path: Path, database: str) -> None:
    with ExitStack() as stack:
        config = stack.enter_context(DATABASES[database]())
        folder = tmp_path / "logs"
        folder.mkdir()
        settings = beside(config).settings | {"CHARTER_LOG_FORMAT": "json", "CHARTER_DRAIN_SECONDS": "1"}
        new, old = Charter(folder, settings), Charter(folder, settings, released)
        old.run("migrate", "--yes").check_returncode()
        ports = [free_port() for _ in range(3)]
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        olds = [stack.enter_context(serving(old, port)) for port in ports[:2]]
        people, sessions = _populate(urls[0])
        load = Load(urls, stack.enter_context(closing(Journal(tmp_path / "journal"))), sessions, 40, 4, tries=40)
        users = Users(cycle(urls))
        with load.writing(), users.asking(people):
            sleep(STEP_SECONDS)
            new.run("migrate", "--yes").check_returncode()
            sleep(STEP_SECONDS)
            for process, port in zip([None, *olds], [ports[2], *ports[:2]], strict=True):
                if process is not None:
                    stop(process)
                stack.enter_context(serving(new, port))
                sleep(STEP_SECONDS)
        _check(config, load, users, sessions, folder)


def _populate(url: str) -> tuple[list[Person], list[Live]]:
    """Return users, and sessions of another user, all of the last release."""
    with httpx.Client(base_url=url, timeout=30) as client:
        people = [newcomer(client, f"person{number}") for number in range(3)]
        writer = newcomer(client, "writer")
        pairs = [writer.log_in().json() for _ in range(40)]
    return people, [
        Live(session_id(pair["access_token"]), pair["access_token"], pair["refresh_token"]) for pair in pairs
    ]


def _check(config: Config, load: Load, users: Users, sessions: list[Live], folder: Path) -> None:
    assert {status for _, status in users.statuses} <= {200, 204}, users.statuses
    assert len({name for name, _ in users.statuses}) == 6
    assert [response for response in load.responses if not response.success] == []
    assert server_errors(folder) == []
    verdict = judge(config, load.journal, sessions)
    assert (verdict.lost, verdict.doubled, verdict.damage) == (0, 0, "")
    assert verdict.acknowledged > 100

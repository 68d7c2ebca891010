"""A database, its sessions, and the services that are started on it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.config import Config
from tests.soak.chaos.clients import MANY_SESSIONS, Live, sessions
from tests.soak.chaos.journal import Journal
from tests.soak.chaos.load import Load
from tests.soak.chaos.verdict import Verdict, judge
from tests.support.charter import Charter, Server, beside, free_port, is_ready, until


@dataclass
class Place:
    """The setting of a trial."""

    config: Config
    sessions: list[Live]
    journal: Journal
    rate: int
    charter: Charter = field(init=False)

    def __post_init__(self) -> None:
        self.charter = beside(self.config)
        # A restarted service keeps its address.
        self.charter.settings |= {"CHARTER_PORT": str(free_port()), "CHARTER_LOG_FORMAT": "json"}
        self.charter.settings["CHARTER_SESSIONS_PER_USER"] = str(MANY_SESSIONS)

    @contextmanager
    def served(self, *options: str) -> Iterator[Server]:
        """Run a service, and yield it when it is ready."""
        with self.charter.serving(*options) as server:
            until(lambda: is_ready(server.url))
            yield server

    def load(self, *urls: str, **options: Any) -> Load:
        return Load(urls, self.journal, self.sessions, self.rate, **options)

    def judged(self) -> Verdict:
        return judge(self.config, self.journal, self.sessions)


@contextmanager
def settled(config: Config, folder: Path, count: int, rate: int = 100) -> Iterator[Place]:
    """Yield the setting on the database of this configuration, with `count` sessions and `rate` writes a second."""
    charter = beside(config)
    charter.run("migrate", "--yes").check_returncode()
    with closing(Journal(folder / "journal")) as journal:
        yield Place(config, list(sessions(config, count)), journal, rate)

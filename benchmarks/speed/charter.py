"""The measured Charter: a copy of the checkout with one more operation, a database, a user and tokens."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api import clock
from api.config import Config
from api.crypto.access_tokens import AccessTokenCodec
from api.crypto.signing_keys import SigningKey
from api.services.signing_keys import Keyring
from api.storage.database import Database
from benchmarks.speed.service import CORE, Service, free_port, started
from tests.support.charter import COMMAND, Charter, beside
from tests.support.paths import CHECKOUT

INSTANT = Path(__file__).parent / "instant"
"""The folder with the module that makes password hashes cost nothing."""
CREDENTIALS = {"username": "alice", "password": "correct horse battery staple"}
_LIFETIME = 3600


@dataclass(frozen=True)
class Place:
    """A running Charter, its signing key, its only user, and an access token of this user."""

    service: Service
    key: SigningKey
    token: str
    user: dict[str, Any]

    @property
    def public_key(self) -> str:
        """The public key that verifies the tokens, as PEM."""
        pem: bytes = self.key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem.decode()

    def fresh(self, count: int) -> list[str]:
        """Return this number of further tokens of the same session, all different."""
        said = jwt.decode(self.token, options={"verify_signature": False})
        tokens = AccessTokenCodec(said["iss"], said["aud"], said.get("client_id", "charter"), _LIFETIME)
        now = clock.now()
        ends_at = now + timedelta(days=1)
        ids = UUID(said["sub"]), UUID(said["sid"])
        return [tokens.encode(self.key, *ids, said["scope"], ends_at, authenticated_at=now) for _ in range(count)]


def installed(config: Config, **settings: str) -> Charter:
    """Return an installation of a copy of this checkout, with a migrated database. The log is a file."""
    copy = config.data_dir / "checkout"
    for name in ("api", "migrations", "openapi"):
        shutil.copytree(CHECKOUT / name, copy / name)
    own = Path(__file__).parent
    shutil.copy(own / "orders.yaml", copy / "openapi")
    shutil.copy(own / "orders.py", copy / "api/handlers")
    # Python imports the copy, not the package that is installed.
    return _migrated(_configured(config) | {"PYTHONPATH": str(copy)} | settings, config, COMMAND)


def elsewhere(config: Config, checkout: Path) -> Charter:
    """Return an installation of another checkout, in its own environment, with a migrated database.

    The settings that the checkout does not have are left out.
    """
    settings = {name: value for name, value in _configured(config).items() if _is_setting(name, checkout)}
    return _migrated(settings, config, checkout / ".venv/bin/charter")


def _configured(config: Config) -> dict[str, str]:
    return beside(config).settings | {
        "CHARTER_ACCESS_TOKEN_SECONDS": str(_LIFETIME),
        "CHARTER_BCRYPT_COST": "12",
        "CHARTER_CHECK_ANSWERS": "report",
        "CHARTER_LOG_FORMAT": "json",
        "CHARTER_PORT": str(free_port()),
    }


def _migrated(settings: dict[str, str], config: Config, command: Path) -> Charter:
    charter = Charter(config.data_dir, settings, command)
    charter.run("migrate", "--yes").check_returncode()
    return charter


def _is_setting(name: str, checkout: Path) -> bool:
    return any(name in path.read_text() for path in checkout.glob("api/**/*.py"))


def background(charter: Charter, value: str) -> Charter:
    """Return the installation with its background tasks "on" or "off", or unchanged if it has none."""
    name = "CHARTER_BACKGROUND"
    is_setting = _is_setting(name, Path(charter.settings["PYTHONPATH"].partition(os.pathsep)[0]))
    return replace(charter, settings=charter.settings | ({name: value} if is_setting else {}))


def without_hashes(charter: Charter) -> Charter:
    """Return the installation with password hashes that cost nothing."""
    path = [charter.settings["PYTHONPATH"]] if "PYTHONPATH" in charter.settings else []
    # A cheap cost: the service refuses log-ins that would wait long for hashes of the configured cost.
    cheap = {"CHARTER_BCRYPT_COST": "10", "PYTHONPATH": os.pathsep.join([*path, str(INSTANT)])}
    return replace(charter, settings=charter.settings | cheap)


def serving(charter: Charter, cores: frozenset[int]) -> AbstractContextManager[Service]:
    """Run `charter serve` on these cores."""
    port = int(charter.settings["CHARTER_PORT"])
    return started([str(charter.command), "serve"], charter.folder, charter.environment, port, cores)


@contextmanager
def beginning(charter: Charter, cores: frozenset[int] = frozenset({CORE}), /, **settings: str) -> Iterator[Service]:
    """Yield one more running service of an installation, on its own port and with these settings."""
    settings = charter.settings | {"CHARTER_PORT": str(free_port())} | settings
    with serving(replace(charter, settings=settings), cores) as service, service.awake():
        yield service


@contextmanager
def served(config: Config, cores: frozenset[int] = frozenset({CORE})) -> Iterator[Place]:
    """Yield Charter on this database, with one user who is logged in."""
    with serving(installed(config), cores) as service:
        port = service.port
        with service.awake():
            user = _post(port, "/api/v1/auth/signup", CREDENTIALS | {"email": "alice@example.com"})
            token = logged_in(port)
        yield Place(service, _signing_key(config), token, user)


def logged_in(port: int) -> str:
    """Log the user in, and return the access token."""
    token: str = _post(port, "/api/v1/auth/login", CREDENTIALS)["access_token"]
    return token


def _post(port: int, path: str, body: dict[str, str]) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said: dict[str, Any] = json.load(answer)
    connection.close()
    assert answer.status in {200, 201}, said
    return said


def _signing_key(config: Config) -> SigningKey:
    keyring = Keyring(config.secret, config.signing_algorithm, _LIFETIME)
    database = Database(config.database_url)
    with database.transaction() as db:
        key = keyring.signing(db)
    database.dispose()
    return key

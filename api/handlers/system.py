"""Health checks, the API description and signing keys."""

from typing import Any

from api.contract import nonblocking
from api.runtime.shutdown import GracefulShutdown
from api.services import readiness, signing_keys
from api.services.signing_keys import Keyring
from api.storage.database import Db


@nonblocking
def ping() -> dict[str, str]:
    return {"status": "running"}


@nonblocking
def protected() -> dict[str, str]:
    return {"message": "Your token is good."}


def check_readiness(db: Db, revision: str, shutdown: GracefulShutdown) -> dict[str, str]:
    shutdown.check()
    readiness.check(db, revision)
    return {"status": "ready"}


@nonblocking
def get_contract(document: dict[str, Any]) -> dict[str, Any]:
    return document


def get_signing_keys(db: Db, keyring: Keyring) -> tuple[object, dict[str, str]]:
    return {"keys": signing_keys.jwks(db, keyring)}, {"Cache-Control": f"public, max-age={signing_keys.CACHE_SECONDS}"}

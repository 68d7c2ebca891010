"""Service accounts, and the requests that they send."""

from base64 import b64encode
from collections.abc import Iterable

import httpx

from api.config import Config
from api.services import service_accounts
from api.services.service_accounts import NewSecret
from api.storage.database import Database
from tests.support.shipped import CONTRACT

SERVICE_SCOPES = sorted(CONTRACT.service_scopes)
"""All scopes that a service account can have."""


def new_service(config: Config, name: str = "billing", scopes: Iterable[str] = SERVICE_SCOPES) -> NewSecret:
    """Create a service account, as `charter services create` does."""
    database = Database(config.database_url)
    with database.transaction() as db:
        made = service_accounts.create(db, name, scopes)
    database.dispose()
    return made


def basic(credentials: NewSecret) -> dict[str, str]:
    """Return the header of HTTP Basic with the credentials of a service account."""
    return basic_of(str(credentials.client_id), credentials.client_secret)


def basic_of(user: str, password: str) -> dict[str, str]:
    """Return the header of HTTP Basic."""
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


def issue(client: httpx.Client, credentials: NewSecret, **form: str) -> httpx.Response:
    """Ask for an access token of a service account."""
    form = {"grant_type": "client_credentials"} | form
    return client.post("/oauth/token", data=form, headers=basic(credentials))


def introspect(client: httpx.Client, credentials: NewSecret, token: str, **form: str) -> httpx.Response:
    """Ask whether a token is active."""
    return client.post("/oauth/introspect", data={"token": token} | form, headers=basic(credentials))

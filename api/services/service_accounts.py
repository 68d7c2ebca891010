"""Service accounts: create, find, list, rotate the secret, disable, enable and delete."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from api import clock, models
from api.crypto import prefixed_secrets
from api.crypto.cursors import CursorCodec, Listing
from api.errors import NotFound, ServiceNameTaken
from api.services import events, names, paging
from api.storage.database import HIGHEST_ID, Db, new_id

KIND = "svc"
"""The part of a secret that names its kind."""


@dataclass(frozen=True)
class NewSecret:
    """The credentials of a service account. The secret is shown only once."""

    client_id: UUID
    client_secret: str


class KnownService(NamedTuple):
    """An enabled service, with the digest and the expiry of each of its secrets. Processes cache it."""

    id: UUID
    name: str
    scopes: frozenset[str]
    secrets: tuple[tuple[bytes, datetime | None], ...]

    def has(self, secret: str) -> bool:
        """Return True if this is a secret of the service that has not expired."""
        given, now = prefixed_secrets.digest(secret), clock.now()
        return any(
            hmac.compare_digest(given, digest) and (expires_at is None or now < expires_at)
            for digest, expires_at in self.secrets
        )


def create(
    db: Db, name: str, scopes: Iterable[str], prefix: str = "charter", *, created_by: UUID | None = None
) -> NewSecret:
    """Create a service account and return its credentials. `prefix` begins the secret. Raises ServiceNameTaken.

    The id of the account is a new UUIDv7, like the ids of users, so no user has the same id.
    """
    service_id = new_id()
    values = {
        "id": service_id,
        "name": name,
        "name_key": names.canonical(name),
        "scopes": " ".join(sorted({*scopes})),
        "created_at": clock.now(),
        "created_by": created_by,
    }
    try:
        db.run(_CREATE, values)
    except IntegrityError:
        raise ServiceNameTaken() from None
    secret = _add_secret(db, service_id, prefix)
    events.record(db, "service_created", service_id=service_id)
    return secret


def rotate(db: Db, service_id: UUID, overlap: timedelta, prefix: str = "charter") -> NewSecret:
    """Return new credentials of a service. The newest secret so far stays valid for the time of the overlap.

    A service has at most two secrets, so all earlier ones are deleted. Raises NotFound.
    """
    # Two rotations at the same time could otherwise leave two secrets without an end.
    if db.run(_LOCK, {"of_service": service_id}).first() is None:
        raise NotFound()
    until = clock.now() + overlap
    db.run(_EXPIRE, {"of_service": service_id, "until": until})
    db.run(_DELETE_FORMER, {"of_service": service_id, "now": clock.now()})
    secret = _add_secret(db, service_id, prefix)
    events.record(db, "service_secret_rotated", service_id=service_id)
    return secret


def _add_secret(db: Db, service_id: UUID, prefix: str) -> NewSecret:
    secret = prefixed_secrets.make(KIND, prefix)
    values = {
        "id": new_id(),
        "service_id": service_id,
        "digest": prefixed_secrets.digest(secret),
        "hint": prefixed_secrets.hint_of(secret),
        "created_at": clock.now(),
    }
    db.run(_CREATE_SECRET, values)
    return NewSecret(service_id, secret)


def delete_account(db: Db, service_id: UUID) -> None:
    """Delete a service account. Its tokens and secrets become invalid. Raises NotFound."""
    if db.run(_DELETE, {"of_service": service_id}).rowcount == 0:
        raise NotFound()
    events.record(db, "service_deleted", service_id=service_id)


def change_state(db: Db, service_id: UUID, *, enabled: bool) -> None:
    """Enable or disable a service account. The tokens and secrets of a disabled one are invalid. Raises NotFound."""
    if db.run(_CHANGE_STATE, {"of_service": service_id, "at": None if enabled else clock.now()}).rowcount == 0:
        raise NotFound()
    name = "service_enabled" if enabled else "service_disabled"
    events.record(db, name, service_id=service_id)


def get(db: Db, service_id: UUID) -> dict[str, Any]:
    """Return a service account with its secrets, as the contract shows it. Raises NotFound."""
    row = db.run(_GET, {"of_service": service_id}).first()
    if row is None:
        raise NotFound()
    return _with_secrets(db, [row])[0]


def get_by_name(db: Db, name: str) -> UUID:
    """Return the id of the service account with this name. Raises NotFound."""
    found = db.run(_BY_NAME, {"key": names.canonical(name)}).scalar()
    if found is None:
        raise NotFound()
    return UUID(str(found))


def page(db: Db, cursors: CursorCodec, user_id: UUID, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """Return a page of all service accounts, newest first, starting after `cursor`. Raises InvalidCursor."""
    rows, following = paging.newest_first(cursors, Listing("services", user_id), limit, cursor, partial(_read, db))
    return {"items": _with_secrets(db, rows), "next_cursor": following}


def list_before(db: Db, before: UUID | None, most: int) -> list[dict[str, Any]]:
    """Return up to `most` service accounts, newest first: those before this id, or the newest ones."""
    return _with_secrets(db, _read(db, before or HIGHEST_ID, most))


def _read(db: Db, before: UUID, most: int) -> Sequence[Any]:
    return db.run(_PAGE, {"before": before, "most": most}).all()


def find_enabled(db: Db, service_id: UUID) -> KnownService | None:
    """Return an enabled service with its secrets, or None. Processes cache the result."""
    row = db.run(_GET, {"of_service": service_id}).first()
    if row is None or row.disabled_at is not None:
        return None
    secrets = tuple((each.digest, each.expires_at) for each in db.run(_SECRETS, {"of_services": [service_id]}))
    return KnownService(row.id, row.name, frozenset(row.scopes.split(" ")), secrets)


def _with_secrets(db: Db, rows: Sequence[Any]) -> list[dict[str, Any]]:
    secrets: Mapping[UUID, list[Any]] = {row.id: [] for row in rows}
    for each in db.run(_SECRETS, {"of_services": [*secrets]}) if secrets else ():
        secrets[each.service_id].append(each)
    return [
        {
            "client_id": row.id,
            "name": row.name,
            "scopes": row.scopes.split(" "),
            "disabled": row.disabled_at is not None,
            "created_at": row.created_at,
            "secrets": secrets[row.id],
        }
        for row in rows
    ]


_services, _secrets = models.services, models.service_secrets
_of_service = _services.c.id == bindparam("of_service")
_secret_of_service = _secrets.c.service_id == bindparam("of_service")
_CREATE = insert(_services)
_CREATE_SECRET = insert(_secrets)
_GET = select(_services).where(_of_service)
_BY_NAME = select(_services.c.id).where(_services.c.name_key == bindparam("key"))
_PAGE = (
    select(_services)
    .where(_services.c.id < bindparam("before"))
    .order_by(_services.c.id.desc())
    .limit(bindparam("most"))
)
_SECRETS = (
    select(_secrets)
    .where(_secrets.c.service_id.in_(bindparam("of_services", expanding=True)))
    .order_by(_secrets.c.id.desc())
)
_LOCK = select(_services.c.id).where(_of_service).with_for_update()
_EXPIRE = (
    update(_secrets)
    .where(_secret_of_service, or_(_secrets.c.expires_at.is_(None), _secrets.c.expires_at > bindparam("until")))
    .values(expires_at=bindparam("until"))
)
# Ids are in the order of creation (UUIDv7).
_newest = select(_secrets.c.id).where(_secret_of_service).order_by(_secrets.c.id.desc()).limit(1).scalar_subquery()
_DELETE_FORMER = delete(_secrets).where(
    _secret_of_service, or_(_secrets.c.id != _newest, _secrets.c.expires_at <= bindparam("now"))
)
_DELETE = delete(_services).where(_of_service)
_CHANGE_STATE = update(_services).where(_of_service).values(disabled_at=bindparam("at"))

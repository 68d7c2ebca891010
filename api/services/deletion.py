"""The deletion of accounts: request, restore within the grace period, and delete.

A user who waits for deletion is disabled, so all rules for disabled users hold.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Executable, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from api import clock, models
from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import PasswordHasher
from api.models.user import UserRow
from api.services import codes as one_time_codes
from api.services import events, roles, sessions, usernames, users
from api.services import outbox as mails
from api.services.codes import Purpose
from api.services.outbox import MailRow, Outbox, Prepared
from api.storage.database import Db

MAIL, FAREWELL = "deletion_requested", "account_deleted"
# Each code lives until the deletion.
RESTORE = Purpose("restore", timedelta())
_FAREWELL_LIFETIME = timedelta(days=3)
_RETRY = timedelta(hours=1)

_log = logging.getLogger("charter.background")


class DeletionBlocked(Exception):
    """Rows of another table refer to the user, and their foreign key has no ON DELETE."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"rows of another table prevent the deletion: {cause}; charter doctor lists their foreign key")


class DeletionRules(NamedTuple):
    """The time in which a user can restore an account, and the time for which a freed username stays reserved."""

    grace: timedelta
    name_stay: timedelta


def request(
    db: Db,
    hasher: PasswordHasher,
    outbox: Outbox,
    rules: DeletionRules,
    user_id: UUID,
    current_password: str,
    accept_language: str | None,
) -> dict[str, datetime]:
    """Disable a user until the grace period ends, and send a code that restores the account.

    End all sessions and delete all codes of the user. Without a grace period, delete the user at once. Return the time
    of the deletion. Raises WrongPassword if the password is wrong, and LastAdmin if no enabled admin would remain.
    """
    user = users.find_by_password(db, hasher, user_id, current_password, "deletion_failed")
    if user.role == roles.ADMIN:
        roles.keep_an_admin(db, user_id)
    now = clock.now()
    times = {"now": now, "due": now + rules.grace}
    checked = {"checked": user.password_hash, "checked_role": user.role}
    if db.run(_REQUEST, {"of_user": user_id, **checked, **times}).rowcount == 0:
        # Another request has changed the user since the read.
        db.rollback()
        return request(db, hasher, outbox, rules, user_id, current_password, accept_language)
    one_time_codes.discard(db, user_id)
    # The user is disabled before the sessions end, so a concurrent log-in either fails or loses its session.
    sessions.revoke_all(db, user_id)
    events.record(db, "deletion_requested", user_id=user_id)
    if rules.grace:
        locale = outbox.locale_of(accept_language, user.locale)
        outbox.add(db, MAIL, user.email, rules.grace, user_id=user_id, locale=locale)
    else:
        _delete(db, outbox, rules.name_stay, _DELETE, {"of_user": user_id})
    return {"deletes_at": times["due"]}


def prepare(codes: OneTimeCodes, db: Db, mail: MailRow) -> Prepared | None:
    """Return the code that restores an account, or None if the deletion was cancelled or is due."""
    row = db.run(_LOCK, {"of_user": mail.user_id, "now": clock.now()}).first()
    if row is None:
        return None
    user = UserRow._make(row)
    purpose = RESTORE._replace(lifetime=row.deletes_at - clock.now())
    code = one_time_codes.issue(db, codes, purpose, mail.id, user.email, user.id)
    until = row.deletes_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Prepared(user.email, {"code": code, "until": until}, locale=user.locale)


def restore(db: Db, codes: OneTimeCodes, code: str) -> None:
    """Cancel the deletion of the user to whom a code was sent.

    Raises InvalidCode if the code is unknown or used, or if the deletion is due or was cancelled.
    """
    found = one_time_codes.find(db, codes, RESTORE, code)
    wanted = {"of_user": found.user_id, "of_email": found.email_key, "now": clock.now()}
    if db.run(_RESTORE, wanted).rowcount == 0:
        one_time_codes.reject(db, found)
    one_time_codes.use(db, found)
    events.record(db, "deletion_cancelled", user_id=found.user_id)


def delete_due(db: Db, outbox: Outbox, name_stay: timedelta) -> bool:
    """Delete one user whose time has come, and return True if more may be waiting.

    If rows of other tables prevent that, try again an hour later, so that the other users are deleted.
    """
    now = clock.now()
    # The read takes no lock of SQLite if there is nothing to delete.
    user_id = db.run(_DUE, {"now": now}).scalar()
    if user_id is None:
        return False
    try:
        _delete(db, outbox, name_stay, _DELETE_DUE, {"of_user": user_id, "now": now})
    except DeletionBlocked as error:
        db.rollback()
        db.run(_POSTPONE, {"of_user": user_id, "now": now, "later": now + _RETRY})
        _log.error("deletion_blocked", extra={"facts": {"user_id": str(user_id), "cause": str(error)}})
    return True


def delete_now(db: Db, outbox: Outbox, name_stay: timedelta, user: str | UUID) -> UserRow:
    """Delete a user, given by username, email or id, and return the row.

    Raises NotFound if the user is unknown, LastAdmin if no enabled admin would remain, and DeletionBlocked.
    """
    found = users.get(db, user)
    roles.keep_an_admin(db, found.id)
    _delete(db, outbox, name_stay, _DELETE, {"of_user": found.id})
    return found


def _delete(db: Db, outbox: Outbox, name_stay: timedelta, statement: Executable, wanted: dict[str, Any]) -> None:
    """Delete a user with all rows, reserve the username, and send a last mail. Raises DeletionBlocked."""
    try:
        # The foreign keys of the other tables delete their rows. The first statement locks the user.
        user = db.run(statement, wanted).first()
    except IntegrityError as error:
        raise DeletionBlocked(str(error.orig).partition("\n")[0]) from error
    if user is None:
        return
    mails.discard(db, user.id)
    usernames.retire(db, user.username_key, None, name_stay)
    locale = outbox.locale_of(None, user.locale)
    outbox.add(db, FAREWELL, user.email, _FAREWELL_LIFETIME, locale=locale)
    events.record(db, "user_deleted", user_id=user.id)
    events.forget_user(db, user.id)


_users = models.users
_is_user = _users.c.id == bindparam("of_user")
_REQUEST = (
    update(_users)
    .where(
        _is_user,
        _users.c.password_hash == bindparam("checked"),
        _users.c.role == bindparam("checked_role"),
        _users.c.disabled_at.is_(None),
    )
    .values(disabled_at=bindparam("now"), deletes_at=bindparam("due"))
)
_LOCK = (
    select(*(_users.c[name] for name in UserRow._fields))
    .where(_is_user, _users.c.deletes_at > bindparam("now"))
    .with_for_update()
)
_RESTORE = (
    update(_users)
    .where(_is_user, _users.c.email_key == bindparam("of_email"), _users.c.deletes_at > bindparam("now"))
    .values(disabled_at=None, deletes_at=None)
)
_DUE = (
    select(_users.c.id)
    .where(_users.c.deletes_at <= bindparam("now"))
    .order_by(_users.c.deletes_at)
    .limit(1)
    # On PostgreSQL, workers that delete at the same time take different users.
    .with_for_update(skip_locked=True)
)
_POSTPONE = (
    update(_users).where(_is_user, _users.c.deletes_at <= bindparam("now")).values(deletes_at=bindparam("later"))
)
_DELETE = delete(_users).where(_is_user).returning(_users.c.id, _users.c.username_key, _users.c.email, _users.c.locale)
# An operator may have enabled the user since the read.
_DELETE_DUE = _DELETE.where(_users.c.deletes_at <= bindparam("now"))

"""One-time codes without a mail."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, update

from api import clock, models
from api.config import Config
from api.crypto.one_time_codes import OneTimeCodes
from api.services import codes, names
from api.services.codes import Purpose
from api.services.deletion import RESTORE
from api.storage.database import Database, new_id

SIGN_UP = "completeSignUp"
PURPOSES = {
    "confirmEmailChange": codes.EMAIL_CHANGE,
    "resetPassword": codes.PASSWORD_RESET,
    "restoreAccount": RESTORE._replace(lifetime=timedelta(days=7)),
    "revertEmailChange": codes.EMAIL_REVERT,
    "verifyEmail": codes.VERIFY_EMAIL,
}
"""The operations that take a code of a user, and the purposes of these codes."""
OPERATIONS = {SIGN_UP, *PURPOSES}
"""The operations that take a code."""


def code_for(operation: str, config: Config, database: Database, name: str, code_id: UUID | None = None) -> str:
    """Return a code that an operation accepts.

    It belongs to the user with this username. A code for a sign-up belongs to a new address. A code for a restoration
    also requests the deletion of the user.
    """
    code_id = code_id or new_id()
    if operation == SIGN_UP:
        return sign_up_code(config, database, f"{code_id}@example.com", code_id)
    return _user_code(PURPOSES[operation], config, database, name, code_id)


def sign_up_code(config: Config, database: Database, email: str, code_id: UUID | None = None) -> str:
    """Return a code that completes a sign-up with this address."""
    with database.transaction() as db:
        return codes.issue(db, OneTimeCodes(config.secret), codes.SIGN_UP, code_id or new_id(), email)


def _user_code(purpose: Purpose, config: Config, database: Database, name: str, code_id: UUID) -> str:
    with database.transaction() as db:
        user = db.run(select(models.users).where(models.users.c.username_key == names.login_key(name))).one()
        this, address = update(models.users).where(models.users.c.id == user.id), user.email
        if purpose is codes.EMAIL_CHANGE:
            address = f"{code_id.hex}@example.com"
            db.run(this.values(pending_email=address))
        if purpose.name == RESTORE.name:
            db.run(this.values(disabled_at=clock.now(), deletes_at=clock.now() + purpose.lifetime))
        return codes.issue(db, OneTimeCodes(config.secret), purpose, code_id, address, user.id)


def request_changes(database: Database) -> None:
    """Give each user a pending change of the email."""
    with database.transaction() as db:
        for user in db.run(select(models.users)).all():
            changed = update(models.users).where(models.users.c.id == user.id)
            db.run(changed.values(pending_email=f"{user.id.hex}@example.com"))

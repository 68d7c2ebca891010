"""One-time codes without a mail."""

from uuid import UUID

from sqlalchemy import select

from api.config import Config
from api.crypto.one_time_codes import OneTimeCodes
from api.models import User
from api.models.user import UserRow
from api.services import codes, names
from api.storage.database import Database, new_id


def reset_code(config: Config, database: Database, name: str, code_id: UUID | None = None) -> str:
    """Return a code that resets the password of the user with this username."""
    with database.transaction() as db:
        user = db.scalars(select(User).where(User.username_key == names.login_key(name))).one()
        row = UserRow(*(getattr(user, field) for field in UserRow._fields))
        return codes.issue(db, OneTimeCodes(config.secret), codes.PASSWORD_RESET, code_id or new_id(), row)

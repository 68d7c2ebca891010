"""Notices: mails that tell users about changes of their account. A user cannot switch them off."""

from datetime import timedelta
from uuid import UUID

from api.models import User
from api.models.user import UserRow
from api.services.outbox import Outbox
from api.storage.database import Db

EMAIL_CHANGED = "email_changed"
PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a template
_LIFETIME = timedelta(days=3)


def password_changed(db: Db, outbox: Outbox, user: User | UserRow, accept_language: str | None) -> None:
    """Tell a user that the password was changed."""
    locale = outbox.locale_of(accept_language, user.locale)
    outbox.add(db, PASSWORD_CHANGED, user.email, _LIFETIME, user_id=user.id, locale=locale)


def email_changed(db: Db, outbox: Outbox, user: User, accept_language: str | None) -> UUID:
    """Tell a user at the former address that the email was changed, and return the id of the mail."""
    locale = outbox.locale_of(accept_language)
    return outbox.add(db, EMAIL_CHANGED, user.email, _LIFETIME, user_id=user.id, locale=locale)

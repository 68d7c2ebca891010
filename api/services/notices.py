"""Notices: mails about changes of an account. A user cannot switch them off."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from api.models.user import Profile, UserRow
from api.services.outbox import Outbox
from api.storage.database import Db

API_KEY_CREATED = "api_key_created"
ALREADY_REGISTERED = "already_registered"
EMAIL_CHANGED = "email_changed"
NEW_LOG_IN = "new_log_in"
PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a template
_LIFETIME = timedelta(days=3)


def password_changed(db: Db, outbox: Outbox, user: UserRow, accept_language: str | None) -> None:
    """Send a user a mail about a change of the password."""
    locale = outbox.locale_of(accept_language, user.locale)
    outbox.add(db, PASSWORD_CHANGED, user.email, _LIFETIME, user_id=user.id, locale=locale)


def api_key_created(
    db: Db, outbox: Outbox, user: Profile, hint: str, expires_at: datetime, accept_language: str | None
) -> None:
    """Send a user a mail about a new API key."""
    facts = {"key": hint, "until": expires_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")}
    locale = outbox.locale_of(accept_language, user.locale)
    outbox.add(db, API_KEY_CREATED, user.email, _LIFETIME, user_id=user.id, locale=locale, facts=facts)


def email_changed(db: Db, outbox: Outbox, user: UserRow, accept_language: str | None) -> UUID:
    """Send a mail about a change of the email to the former address, and return the id of the mail."""
    locale = outbox.locale_of(accept_language, user.locale)
    return outbox.add(db, EMAIL_CHANGED, user.email, _LIFETIME, user_id=user.id, locale=locale)


def new_log_in(db: Db, outbox: Outbox, user: UserRow, address: str, user_agent: str) -> None:
    """Send a user a mail about a log-in from a place and a device that the user has not used before."""
    facts = {"address": address, "device": _harmless(user_agent)}
    # The client may be that of another person, so the mail is not in its language.
    locale = outbox.locale_of(None, user.locale)
    outbox.add(db, NEW_LOG_IN, user.email, _LIFETIME, user_id=user.id, locale=locale, facts=facts)


_MOST_CHARACTERS = 120


def _harmless(text: str) -> str:
    """Return a short text without anything that a mail program would show as a link.

    A client chooses its `User-Agent` freely, so it could contain a message to the reader.
    """
    kept = re.sub(r"[^A-Za-z0-9 ()/;,._-]|(?<![0-9])\.|\.(?![0-9])|/{2,}", " ", text)
    return " ".join(kept.split())[:_MOST_CHARACTERS].rstrip()

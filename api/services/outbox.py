"""The outbox: the only place that writes mails. A mail leaves if the transaction of the request is committed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import and_, bindparam, delete, insert, literal_column, select, update

from api import clock, models
from api.crypto.cursors import CursorCodec, Listing
from api.errors import MailNotDead, MailUnavailable, NotFound
from api.services import events, paging
from api.storage.database import Db, first_id, new_id
from api.storage.partial_index import likely

_LOCALE = re.compile("[a-z]{2,3}(-[A-Za-z]+)?")
_DEAD_STAY = timedelta(days=30)
_CHANGED_AT_ONCE = 100
RETRIED_FOR = timedelta(hours=1)
"""The time for which a mail waits at most after an operator has retried it."""


class MailRow(NamedTuple):
    """A mail of the outbox."""

    id: UUID
    template: str
    user_id: UUID | None
    address: str | None
    locale: str
    facts: dict[str, Any] | None
    state: str
    attempts: int
    created_at: datetime
    expires_at: datetime
    error: str | None


class Prepared(NamedTuple):
    """The parts of a mail that the outbox lacks: the address of the reader, and facts that may be secret.

    `template` replaces that of the outbox, if the mail depends on the reader. `locale` is the language that the reader
    has chosen, if there is one. `user_id` is the reader, if the outbox did not know that the address has a user.
    """

    address: str
    facts: dict[str, Any]
    template: str | None = None
    locale: str | None = None
    user_id: UUID | None = None


class Outbox:
    """Writes mails, in the language of the reader if it is one of `locales`. The first of these is the default."""

    def __init__(self, is_served: bool, locales: tuple[str, ...]) -> None:
        self._is_served = is_served
        self._locales = locales

    @property
    def locales(self) -> tuple[str, ...]:
        """Return the languages of the templates, with the default one first."""
        return self._locales

    def must_serve(self) -> None:
        """Raise MailUnavailable if no mail can be sent."""
        if not self._is_served:
            raise MailUnavailable()

    def add(
        self,
        db: Db,
        template: str,
        address: str,
        lifetime: timedelta,
        *,
        user_id: UUID | None = None,
        locale: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> UUID:
        """Write a mail that is sent within its lifetime, or never, and return its id.

        Without a mail server, write none. The facts must contain no secret.
        """
        mail_id, now = new_id(), clock.now()
        values = {
            "id": mail_id,
            "template": template,
            "user_id": user_id,
            "address": address,
            "locale": locale or self._locales[0],
            "facts": dict(facts or {}),
            "state": "waiting",
            "attempts": 0,
            "created_at": now,
            "due_at": now,
            "expires_at": now + lifetime,
        }
        if self._is_served:
            db.run(_INSERT, values)
        return mail_id

    def locale_of(self, accept_language: str | None, chosen: str | None = None) -> str:
        """Return the language of a mail: the one that its reader has chosen, or else one of `Accept-Language`."""
        return lookup(chosen, self._locales) or best_locale(accept_language or "", self._locales)


def lookup(tag: str | None, locales: Iterable[str]) -> str | None:
    """Return the language for a tag by the lookup of RFC 4647, section 3.4: for `de-AT`, also `de`."""
    offered = {locale.lower(): locale for locale in locales}
    parts = tag.lower().split("-") if tag else []
    candidates = ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((offered[candidate] for candidate in candidates if candidate in offered), None)


_LONGEST_ACCEPT = 200


def best_locale(accepted: str, locales: tuple[str, ...]) -> str:
    """Return the first language of `Accept-Language` that the service has, or else its default.

    The languages after the first 200 characters are not considered.
    """
    from werkzeug.datastructures import LanguageAccept  # noqa: PLC0415 - rarely needed
    from werkzeug.http import parse_accept_header  # noqa: PLC0415

    if len(accepted) > _LONGEST_ACCEPT:
        accepted = accepted[:_LONGEST_ACCEPT].rpartition(",")[0]
    for tag, quality in parse_accept_header(accepted, LanguageAccept):
        if quality > 0 and (found := lookup(tag, locales)):
            return found
    return locales[0]


def locales_of(folders: Iterable[Path], default: str) -> tuple[str, ...]:
    """Return the languages for which these folders have templates, with the default one first."""
    found = {place.name for folder in folders for place in folder.iterdir() if _LOCALE.fullmatch(place.name)}
    return default, *sorted(found - {default})


def has_due(db: Db) -> bool:
    """Return True if a mail is due. This is one read outside of the transaction, and takes no lock."""
    return bool(db.read(_HAS_DUE, {"now": clock.now()}))


def claim(db: Db, claim_id: UUID, lease: timedelta, most: int) -> list[MailRow]:
    """Claim up to `most` due mails until the lease ends, and return them in the order in which they became due.

    Other processes do not see them meanwhile.
    """
    now = clock.now()
    due = {row.id: (row.due_at, row.id) for row in db.run(_DUE, {"now": now, "most": most})}
    values = {"found": list(due), "claim_id": claim_id, "now": now, "until": now + lease}
    rows = [MailRow._make(row) for row in db.run(_CLAIM, values)] if due else []
    return sorted(rows, key=lambda row: due[row.id])


def renew(db: Db, mail_id: UUID, claim_id: UUID, lease: timedelta) -> bool:
    """Extend the lease of a mail. Return False if another process has claimed it."""
    return db.run(_RENEW, {"of_id": mail_id, "of_claim": claim_id, "until": clock.now() + lease}).rowcount == 1


def assign(db: Db, mail_id: UUID, user_id: UUID) -> None:
    """Note the user to whom a mail goes, so that a deletion of the user deletes the mail. The user must be locked."""
    db.run(_ASSIGN, {"of_id": mail_id, "reader": user_id})


def settle_sent(db: Db, mail_id: UUID, claim_id: UUID) -> bool:
    """Note that a mail was sent, and forget its address and facts. Return False if the claim was lost."""
    return db.run(_SENT, {"of_id": mail_id, "of_claim": claim_id, "now": clock.now()}).rowcount == 1


def settle_failed(db: Db, mail_id: UUID, claim_id: UUID, error: str, due_at: datetime | None) -> bool:
    """Note a failure: the mail is due again at this time, or dead. Return False if the claim was lost."""
    values = {"of_id": mail_id, "of_claim": claim_id, "cause": error[:200], "until": due_at or clock.now()}
    return db.run(_DEAD if due_at is None else _LATER, values).rowcount == 1


def give_back(db: Db, mail_id: UUID, claim_id: UUID, due_at: datetime) -> None:
    """Give up the claim of a mail that was not tried. It is due again at this time."""
    db.run(_GIVE_BACK, {"of_id": mail_id, "of_claim": claim_id, "until": due_at})


def drop(db: Db, mail_id: UUID, claim_id: UUID) -> None:
    """Delete a mail that has no reader."""
    db.run(_DROP, {"of_id": mail_id, "of_claim": claim_id})


def discard(db: Db, user_id: UUID) -> None:
    """Delete all mails of a user."""
    db.run(_DISCARD, {"of_user": user_id})


def withdraw(db: Db, user_id: UUID, template: str) -> None:
    """Delete the mails of a user and a template that were not sent."""
    db.run(_WITHDRAW, {"of_user": user_id, "named": template})


def list_newest(db: Db, state: str, most: int) -> list[MailRow]:
    """Return the newest mails in a state."""
    return [MailRow._make(row) for row in db.run(_NEWEST, {"of_state": state, "most": most})]


def oldest_waiting(db: Db) -> datetime | None:
    """Return the time at which the oldest waiting mail was written, or None if no mail is waiting."""
    return db.run(_OLDEST_WAITING).scalar()


def page(
    db: Db, cursors: CursorCodec, caller: UUID, state: str | None, *, limit: int, cursor: str | None
) -> dict[str, Any]:
    """Return a page of mails, newest first, starting after `cursor`. Raises InvalidCursor."""

    def read(before: UUID, most: int) -> Sequence[MailRow]:
        wanted = {"before": before, "most": most}
        found = db.run(_PAGE_OF_ALL, wanted) if state is None else db.run(_PAGE, wanted | {"of_state": state})
        return [MailRow._make(row) for row in found]

    rows, following = paging.newest_first(cursors, Listing("mails", caller, [state]), limit, cursor, read)
    items = [{**row._asdict(), "recipient": masked(row.address)} for row in rows]
    return {"items": items, "next_cursor": following}


def masked(address: str | None) -> str | None:
    """Return an address without most of its local part. Return None without an address."""
    local, _, domain = (address or "").rpartition("@")
    return f"{local[:1]}***@{domain}" if domain else None


def retry(db: Db, mail_id: UUID, lifetime: timedelta = RETRIED_FOR) -> None:
    """Send a dead mail again. Raises NotFound if the mail is unknown, and MailNotDead if it is not dead."""
    now = clock.now()
    if db.run(_RETRY, {"of_id": mail_id, "now": now, "until": now + lifetime}).rowcount == 0:
        raise NotFound() if db.run(_EXISTS, {"of_id": mail_id}).first() is None else MailNotDead()
    events.record(db, "mail_retried", mail_id=mail_id)


def retry_after(db: Db, mail_id: UUID, lifetime: timedelta = RETRIED_FOR) -> Sequence[UUID]:
    """Send up to 100 dead mails again, the oldest first, that are newer than this one. Return their ids."""
    found = db.run(_DEAD_AFTER, {"after": mail_id, "most": _CHANGED_AT_ONCE}).scalars().all()
    for one in found:
        retry(db, one, lifetime)
    return found


def purge(db: Db, sent_stay: timedelta) -> bool:
    """Delete some old mails, and return True if more may be waiting."""
    found = [
        mail_id
        for state, stay in (("sent", sent_stay), ("dead", _DEAD_STAY))
        for mail_id in db.run(
            _OLD, {"of_state": state, "before": first_id(clock.now() - stay), "most": _CHANGED_AT_ONCE}
        ).scalars()
    ]
    if found:
        db.run(_PURGE, {"found": found})
    return len(found) >= _CHANGED_AT_ONCE


_outbox = models.outbox
_ROWS = [_outbox.c[name] for name in MailRow._fields]
_INSERT = insert(_outbox)
# Otherwise SQLite prefers the index of the state, and sorts all waiting mails at each step.
_is_due = and_(likely(_outbox.c.state == literal_column("'waiting'")), _outbox.c.due_at <= bindparam("now"))
_HAS_DUE = select(_outbox.c.id).where(_is_due).order_by(_outbox.c.due_at).limit(1)
_DUE = (
    select(_outbox.c.id, _outbox.c.due_at)
    .where(_is_due)
    .order_by(_outbox.c.due_at)
    .limit(bindparam("most"))
    # On PostgreSQL, processes that claim at the same time take different rows.
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(_outbox)
    # On SQLite, another process may have claimed a mail since it was found.
    .where(_outbox.c.id.in_(bindparam("found", expanding=True)), _is_due)
    # A mail that crashes the process counts as tried.
    .values(claim=bindparam("claim_id"), due_at=bindparam("until"), attempts=_outbox.c.attempts + 1)
    .returning(*_ROWS)
)
_of_claim = and_(_outbox.c.id == bindparam("of_id"), _outbox.c.claim == bindparam("of_claim"))
_RENEW = update(_outbox).where(_of_claim).values(due_at=bindparam("until"))
_ASSIGN = update(_outbox).where(_outbox.c.id == bindparam("of_id")).values(user_id=bindparam("reader"))
_SENT = (
    update(_outbox)
    .where(_of_claim)
    .values(state="sent", sent_at=bindparam("now"), claim=None, address=None, facts=None, error=None)
)
_LATER = update(_outbox).where(_of_claim).values(due_at=bindparam("until"), claim=None, error=bindparam("cause"))
_DEAD = (
    update(_outbox)
    .where(_of_claim)
    .values(state="dead", due_at=bindparam("until"), claim=None, error=bindparam("cause"))
)
_GIVE_BACK = (
    update(_outbox).where(_of_claim).values(due_at=bindparam("until"), claim=None, attempts=_outbox.c.attempts - 1)
)
_DROP = delete(_outbox).where(_of_claim)
_DISCARD = delete(_outbox).where(_outbox.c.user_id == bindparam("of_user"))
_WITHDRAW = _DISCARD.where(_outbox.c.template == bindparam("named"), _outbox.c.state != "sent")
_NEWEST = (
    select(*_ROWS)
    .where(_outbox.c.state == bindparam("of_state"))
    .order_by(_outbox.c.id.desc())
    .limit(bindparam("most"))
)
_PAGE_OF_ALL = select(*_ROWS).where(_outbox.c.id < bindparam("before"))
_PAGE, _PAGE_OF_ALL = (
    found.order_by(_outbox.c.id.desc()).limit(bindparam("most"))
    for found in (_PAGE_OF_ALL.where(_outbox.c.state == bindparam("of_state")), _PAGE_OF_ALL)
)
_EXISTS = select(_outbox.c.id).where(_outbox.c.id == bindparam("of_id"))
# A mail that is claimed or tried again has a later `due_at`. Ids are in the order of creation (UUIDv7).
_OLDEST_WAITING = select(_outbox.c.created_at).where(_outbox.c.state == "waiting").order_by(_outbox.c.id).limit(1)
_RETRY = (
    update(_outbox)
    .where(_outbox.c.id == bindparam("of_id"), _outbox.c.state == "dead")
    .values(state="waiting", due_at=bindparam("now"), expires_at=bindparam("until"), attempts=0, error=None)
)
_DEAD_AFTER = (
    select(_outbox.c.id)
    .where(_outbox.c.state == "dead", _outbox.c.id > bindparam("after"))
    .order_by(_outbox.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_OLD = (
    select(_outbox.c.id)
    # Ids are in the order of creation (UUIDv7).
    .where(_outbox.c.state == bindparam("of_state"), _outbox.c.id < bindparam("before"))
    .order_by(_outbox.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_PURGE = delete(_outbox).where(_outbox.c.id.in_(bindparam("found", expanding=True)))

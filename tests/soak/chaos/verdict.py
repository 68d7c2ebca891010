"""Compare the tables with the responses that the clients got."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import select, text

from api import models
from api.config import Config
from api.crypto.refresh_tokens import RefreshTokenFactory, digest
from api.storage.database import Database, Db
from tests.soak.chaos.clients import Live
from tests.soak.chaos.journal import Journal, Kind


@dataclass
class Verdict:
    """The number of acknowledged writes, the number that the tables contradict, and any damage of the database."""

    acknowledged: int
    lost: int
    doubled: int
    damage: str


def judge(config: Config, journal: Journal, sessions: Iterable[Live]) -> Verdict:
    """Compare the tables with the journal, and with the state of each session's client."""
    database = Database(config.database_url)
    tokens = RefreshTokenFactory(config.secret)
    with database.transaction() as db:
        verdict = Verdict(journal.counted().total(), 0, 0, _damage(db))
        _judge_names(db, journal, verdict)
        _judge_sessions(db, tokens, sessions, verdict)
    database.dispose()
    return verdict


def _judge_names(db: Db, journal: Journal, verdict: Verdict) -> None:
    found = list(db.run(select(models.users.c.username)).scalars())
    acknowledged = [write.subject for write in journal.writes() if write.kind is Kind.SIGN_UP and write.done]
    verdict.lost += len(set(acknowledged) - set(found))
    verdict.doubled += len(found) - len(set(found))


def _judge_sessions(db: Db, tokens: RefreshTokenFactory, sessions: Iterable[Live], verdict: Verdict) -> None:
    stored = db.run(select(models.sessions.c.id, models.sessions.c.refresh_token)).all()
    valid = {str(row.id): row.refresh_token for row in stored}
    for live in sessions:
        if live.ended is not None and live.ended is (live.id in valid):
            verdict.lost += 1
        # Each token follows from the one before, so the last token stands for all refreshes.
        if live.id in valid:
            verdict.lost += valid[live.id] not in _expected(live, tokens)


def _expected(live: Live, tokens: RefreshTokenFactory) -> set[bytes]:
    following = {digest(tokens.next(live.refresh_token))} if live.pending else set()
    return {digest(live.refresh_token)} | following


def _damage(db: Db) -> str:
    faults = _DAMAGE[db.connection().dialect.name](db)
    return "; ".join(faults)


def _damage_to_sqlite(db: Db) -> Iterator[str]:
    yield from (fault for fault in db.run(text("PRAGMA integrity_check")).scalars() if fault != "ok")
    yield from map(str, db.run(text("PRAGMA foreign_key_check")))


def _damage_to_postgresql(db: Db) -> Iterator[str]:
    """Compare the checksums of all pages, and the content of each index with its table."""
    for table in models.METADATA.sorted_tables:
        counts = set()
        for way in _WAYS:
            for other in _WAYS:
                db.run(text(f"SET LOCAL enable_{other} = {'on' if other == way else 'off'}"))
            counts.add(len(db.run(select(table).order_by(*table.primary_key)).all()))
        if len(counts) > 1:
            yield f"{table.name} has {counts} rows"


_WAYS = ("seqscan", "indexscan", "indexonlyscan", "bitmapscan")
_DAMAGE: dict[str, Callable[[Db], Iterator[str]]] = {"sqlite": _damage_to_sqlite, "postgresql": _damage_to_postgresql}

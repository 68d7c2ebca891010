"""The table of rate limits: purges, locks, and a file of SQLite that is deleted or damaged."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from api.errors import DatabaseUnavailable
from api.storage.database import Database
from api.storage.rate_limit_store import MICROSECONDS, RateLimitStore, Refusal, Take
from tests.support.charter import until
from tests.support.databases import on_postgresql, on_sqlite

NOW = 1_800_000_000 * MICROSECONDS
STEP, WINDOW = 6 * MICROSECONDS, 60 * MICROSECONDS


@pytest.fixture
def store(database: Database) -> Iterator[RateLimitStore]:
    store = RateLimitStore(database)
    yield store
    store.close()


def key(number: int) -> bytes:
    """Return one of 256 evenly distributed keys."""
    return bytes([number]) + bytes(15)


def take(store: RateLimitStore, *numbers: int, now: int = NOW, window: int = WINDOW) -> dict[bytes, int] | Refusal:
    return store.take([Take(key(number), STEP, window) for number in numbers], now, accepts_new=True)


def left(store: RateLimitStore) -> list[int]:
    return [found[0] for found in store.find([key(number) for number in range(256)])]


def test_a_purge_deletes_only_full_budgets(store: RateLimitStore) -> None:
    take(store, 1, 2, 3)
    take(store, 2)
    store.purge(NOW + STEP + 1, 100)
    assert left(store) == [2]
    store.purge(NOW + 2 * STEP + 1, 100)
    assert left(store) == []


def test_a_purge_handles_a_few_rows_and_begins_again_at_the_end(store: RateLimitStore) -> None:
    take(store, *range(0, 256, 8))
    counts = []
    for _ in range(4):
        store.purge(NOW + WINDOW, 10)
        counts.append(len(left(store)))
    assert counts == [22, 12, 2, 0]
    take(store, 1)
    store.purge(NOW + WINDOW, 10)
    assert left(store) == []


def test_a_purge_estimates_the_number_of_rows(store: RateLimitStore) -> None:
    take(store, *range(0, 256, 2))
    store.purge(NOW, 20)
    assert 100 < store.size < 160
    store.purge(NOW + WINDOW, 200)
    store.purge(NOW + WINDOW, 200)
    assert store.size == 0


@on_postgresql
def test_a_purge_locks_rows_in_the_order_of_requests(store: RateLimitStore, database: Database) -> None:
    # On the disk, the rows are in the other order.
    take(store, 2)
    take(store, 1)
    lock = "SELECT FROM rate_limits WHERE key = :key FOR UPDATE NOWAIT"
    with ThreadPoolExecutor(1) as thread, database.engine.connect() as request:
        request.execute(text(lock), {"key": key(1)})
        purge = thread.submit(store.purge, NOW + WINDOW, 100)
        with database.engine.connect() as watcher:
            waiting = text("SELECT FROM pg_locks WHERE NOT granted")
            until(lambda: watcher.execute(waiting).all())
        request.execute(text(lock), {"key": key(2)})
        request.commit()
        purge.result()
    assert left(store) == []


@pytest.mark.parametrize("window", [10, 60, 3600])
def test_a_clock_that_is_set_back_begins_a_budget_anew(store: RateLimitStore, window: int) -> None:
    quota = window // 6 + 1
    taken = [take(store, 1, window=window * MICROSECONDS) for _ in range(quota)]
    assert [type(each) for each in taken] == [*[dict] * (quota - 1), Refusal]
    # The clocks of two hosts differ by less than that.
    skewed = NOW - min(window, 50) * MICROSECONDS
    assert isinstance(take(store, 1, now=skewed, window=window * MICROSECONDS), Refusal)
    earlier = NOW - 3600 * MICROSECONDS
    assert take(store, 1, now=earlier, window=window * MICROSECONDS) == {key(1): earlier + STEP}


@on_sqlite
def test_a_deleted_file_is_replaced_in_all_processes(store: RateLimitStore, database: Database) -> None:
    other = RateLimitStore(database)
    for _ in range(10):
        take(store, 1)
    assert isinstance(take(other, 1), Refusal)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{_file(database)}{suffix}").unlink()
    # The new file has full budgets.
    assert take(store, 1) == {key(1): NOW + STEP}
    assert take(other, 1) == {key(1): NOW + 2 * STEP}
    assert take(store, 1) == {key(1): NOW + 3 * STEP}
    other.close()


def _make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _overwrite(file: Path) -> None:
    file.write_bytes(b"This is not a database. " * 1000)


def _remove_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_suffix(".gone"))


@on_sqlite
@pytest.mark.parametrize("damage", [_make_folder, _overwrite, _remove_folder])
def test_a_file_that_cannot_be_used_recovers_without_a_restart(
    store: RateLimitStore, database: Database, damage: Callable[[Path], None]
) -> None:
    file = _file(database)
    take(store, 1)
    store.close()
    damage(file)
    for call in (lambda: take(store, 1), lambda: store.find([key(1)]), lambda: store.purge(NOW, 10)):
        with pytest.raises(DatabaseUnavailable):
            call()
    if damage is _remove_folder:
        file.parent.with_suffix(".gone").rename(file.parent)
    elif damage is _make_folder:
        file.rmdir()
    else:
        file.unlink()
    assert isinstance(take(store, 1), dict)


@on_sqlite
def test_a_file_that_was_emptied_gets_its_table_again(store: RateLimitStore, database: Database) -> None:
    take(store, 1)
    with store._engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE rate_limits")
    with pytest.raises(DatabaseUnavailable):
        take(store, 1)
    assert take(store, 1) == {key(1): NOW + STEP}


def _file(database: Database) -> Path:
    return Path(f"{database.engine.url.database}-limits")

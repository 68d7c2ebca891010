"""The cache of database reads, and its invalidation."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from api.config import Config
from api.storage import cache as memory_module
from api.storage.cache import BoundedDict, Cache
from api.storage.database import Database
from tests.support.workers import INSERT_KEY, by_hand


@pytest.fixture
def memory(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    # On a busy machine a poll can be slow. The tests of the change monitor cover a late poll.
    monkeypatch.setattr("api.storage.change_monitor._MAX_STALENESS", 5)
    database = Database(config.database_url)
    memory = Cache(database)
    yield memory
    memory.monitor.close()
    database.dispose()


class CountingReader:
    """A stand-in for the database that counts the queries."""

    def __init__(self, memory: Cache) -> None:
        self._memory = memory
        self.times = 0

    def get(self, subject: str, value: str | None, meanwhile: Callable[[], object] = lambda: None) -> str | None:
        def read() -> str | None:
            self.times += 1
            meanwhile()
            return value

        return asyncio.run(self._memory.get("sessions", subject, read))


@pytest.fixture
def reader(memory: Cache) -> CountingReader:
    return CountingReader(memory)


def test_a_thread_reads_a_value_once_while_the_cache_is_fresh(memory: Cache) -> None:
    given = iter(["alice", "carol", "bobby"])

    def read() -> str:
        return next(given)

    asyncio.run(memory.monitor.ensure_fresh())
    assert [memory.look_up("sessions", "a", read) for _ in range(2)] == ["alice", "alice"]
    memory.monitor.mark_stale()
    # A cache that may be outdated is not asked.
    assert memory.look_up("sessions", "a", read) == "carol"
    assert asyncio.run(memory.get("sessions", "a", read)) == "carol"


def test_a_value_is_read_once(reader: CountingReader) -> None:
    assert [reader.get("a", "alice"), reader.get("a", "carol")] == ["alice", "alice"]
    assert reader.get("b", "bobby") == "bobby"
    assert reader.times == 2


def test_a_missing_row_is_not_cached(reader: CountingReader) -> None:
    assert [reader.get("a", None), reader.get("a", None), reader.get("a", "alice")] == [None, None, "alice"]
    assert reader.times == 3


def test_a_value_that_changes_during_the_query_is_not_cached(
    config: Config, memory: Cache, reader: CountingReader
) -> None:
    def change() -> None:
        by_hand(config, INSERT_KEY)
        memory.monitor.mark_stale()
        asyncio.run(memory.monitor.ensure_fresh())

    reader.get("b", "bobby")
    assert reader.get("a", "alice", meanwhile=change) == "alice"
    assert [reader.get("a", "another"), reader.get("a", "carol")] == ["another", "another"]
    assert reader.get("b", "carol") == "bobby"
    assert reader.times == 3


def test_a_value_from_before_the_first_poll_is_not_cached(memory: Cache, reader: CountingReader) -> None:
    keep = memory.begin_fill()
    reader.get("b", "bobby")
    keep("sessions", "a", "alice")
    assert reader.get("a", "carol") == "carol"


def test_the_cache_is_bounded_and_evicts_the_oldest_value(memory: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "_MAX_ENTRIES", 3)
    reader = CountingReader(memory)
    assert asyncio.run(memory.get("signing_keys", "", lambda: "key")) == "key"
    for subject in "abcde":
        reader.get(subject, "known")
    assert [reader.get(subject, "asked") for subject in "cdeab"] == ["known"] * 3 + ["asked"] * 2
    assert asyncio.run(memory.get("signing_keys", "", lambda: "another")) == "key"


def test_caching_a_value_again_evicts_nothing() -> None:
    latest: BoundedDict[str, int] = BoundedDict(3)
    for number, key in enumerate("abcbbd"):
        latest.put(key, number)
    assert latest == {"b": 4, "c": 2, "d": 5}

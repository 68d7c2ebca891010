"""Each operation beside 1,000,000 and beside 1,000 users: its duration, its statements and their plans."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from benchmarks.speed import client
from benchmarks.speed.charter import beginning, serving
from benchmarks.speed.client import PASSWORD, SESSIONS, Client, connected
from benchmarks.speed.filling import ADMIN, SESSIONS_OF_A_USER, filled, roomy, username
from benchmarks.speed.load import Request
from benchmarks.speed.measure import Length
from benchmarks.speed.report import table
from benchmarks.speed.results import Section
from benchmarks.speed.service import CORE
from tests.support.charter import Charter
from tests.support.installations import DATABASES

SMALL, BIG = 1_000, 1_000_000
# The number of requests of each operation, per second of a run of the other measurements.
_A_SECOND = 25
_TRACED = 3
_DIFFER = "differ"
# PostgreSQL shows the values in a plan.
_LITERAL = re.compile(r"'[^']*'::[a-z ]+")
_INDEX_SCAN = re.compile(r"(?:Bitmap )?Index Scan (?:Backward )?(?:using|on) (\S+)(?: on \S+(?: \S+)?)?")
Seconds = dict[str, dict[int, list[float]]]
"""The seconds of each request of an operation, by the number of users."""
Statements = list[tuple[str, list[str]]]
"""The statements of a request, each with its plan."""


@dataclass(frozen=True)
class Account:
    """A user who is logged in, with another live session. `admin_token` is the access token of an admin."""

    id: str
    username: str
    admin_token: str
    access_token: str
    refresh_token: str
    other_session: str
    new_username: str
    """A name that is not in use yet."""


Operation = Callable[[Account], Request]


def _with_token(path: str, verb: str = "") -> Operation:
    return lambda account: Request(path, account.access_token, verb=verb)


def _as_admin(path: str) -> Operation:
    return lambda account: Request(path.format(account.id), account.admin_token)


def _revoke_session(account: Account) -> Request:
    return Request(f"{SESSIONS}/{account.other_session}", account.access_token, verb="DELETE")


def _change_password(account: Account) -> Request:
    body = json.dumps({"current_password": PASSWORD, "new_password": "a better battery for this horse"})
    return Request("/api/v1/me/password", account.access_token, body, "PUT")


# In this order, one account can take part in all operations.
OPERATIONS: dict[str, Operation] = {
    "Profile, not cached": _with_token("/api/v1/me"),
    "List sessions": _with_token(SESSIONS),
    "List users": _as_admin("/api/v1/users?limit=100"),
    # All users have this prefix.
    "Search users": _as_admin(f"/api/v1/users?limit=100&search={username(0)[:6]}"),
    "Get user": _as_admin("/api/v1/users/{}"),
    "Refresh": lambda account: client.refresh(account.refresh_token),
    "Revoke a session": _revoke_session,
    "Revoke other sessions": _with_token(SESSIONS, "DELETE"),
    "Log in": lambda account: client.log_in(account.username),
    "Change password": _change_password,
    "Log out": _with_token("/api/v1/auth/logout", "POST"),
    "Sign up": lambda account: client.sign_up(account.new_username),
    "Signing keys": lambda _: Request("/.well-known/jwks.json"),
    "Ready": lambda _: Request("/ready"),
}


class Stage(NamedTuple):
    """Two services on one database. `other` prepares the requests to `measured`, so `measured` has nothing cached."""

    users: int
    measured: Client
    other: Client

    def accounts(self, numbers: Sequence[int], total: int) -> list[Account]:
        """Return an account for each of these numbers below `total`. All numbers together cover the users evenly."""
        admin = self.admin_token()
        return [self.account(number * self.users // total, admin) for number in numbers]

    def admin_token(self) -> str:
        """Log the admin in, and return the access token."""
        return str(self.other.succeed(client.log_in(ADMIN))["access_token"])

    def account(self, number: int, admin_token: str) -> Account:
        """Log a user in, and return the account."""
        name = username(number)
        pair = self.other.succeed(client.log_in(name))
        sessions = self.other.succeed(Request(SESSIONS, pair["access_token"]))["items"]
        assert len(sessions) == SESSIONS_OF_A_USER, sessions
        oldest = sessions[-1]["id"]
        user_id = self.other.succeed(Request("/api/v1/me", pair["access_token"]))["id"]
        tokens = admin_token, pair["access_token"], pair["refresh_token"]
        return Account(user_id, name, *tokens, oldest, f"new{number:08}")


def scale(length: Length, _: Path, small: int = SMALL, big: int = BIG) -> Iterator[Section]:
    """Compare the operations and the start on a small and a big database of each kind."""
    for database, new in DATABASES.items():
        with ExitStack() as stack:
            configs = {users: stack.enter_context(new(roomy(users))) for users in (small, big)}
            charters = {users: filled(config, users) for users, config in configs.items()}
            seconds = _operations(charters, length) | {"Start": _starts(charters, length.rounds)}
            statements = {users: _statements(charter, users) for users, charter in charters.items()}
        yield section(database, seconds, statements)


def _operations(charters: Mapping[int, Charter], length: Length) -> Seconds:
    """Return the median of the seconds that each operation took, one for each round."""
    count = min(_A_SECOND * length.seconds, min(charters) // (length.rounds + 2))
    # The last users are left for the statements.
    total = count * (length.rounds + 2)
    found: Seconds = {name: {users: [] for users in charters} for name in OPERATIONS}
    with ExitStack() as stack:
        stages = [stack.enter_context(_staged(charter, users)) for users, charter in charters.items()]
        for number in range(length.rounds + 1):
            numbers = range(number * count, (number + 1) * count)
            accounts = {stage.users: stage.accounts(numbers, total) for stage in stages}
            for name, operation in OPERATIONS.items():
                taken = _alternating(stages, {users: [*map(operation, each)] for users, each in accounts.items()})
                for users in taken if number else ():
                    found[name][users].append(median(taken[users]))
    return found


@contextmanager
def _staged(charter: Charter, users: int, **settings: str) -> Iterator[Stage]:
    with ExitStack() as stack:
        clients = [stack.enter_context(_serving(charter, **each)) for each in (settings, {})]
        yield Stage(users, *clients)


@contextmanager
def _serving(charter: Charter, **settings: str) -> Iterator[Client]:
    """Yield a client of a new service."""
    with beginning(charter, **settings) as service, connected(service.port) as client_:
        yield client_


def _alternating(stages: Sequence[Stage], requests: Mapping[int, Sequence[Request]]) -> dict[int, list[float]]:
    """Return the seconds of each request. The services take turns, and each one is first in half of the turns."""
    taken: dict[int, list[float]] = {stage.users: [] for stage in stages}
    for turn in range(len(next(iter(requests.values())))):
        for stage in stages if turn % 2 else reversed(stages):
            began = perf_counter()
            stage.measured.succeed(requests[stage.users][turn])
            taken[stage.users].append(perf_counter() - began)
    return taken


def _starts(charters: Mapping[int, Charter], rounds: int) -> dict[int, list[float]]:
    """Return the seconds of each start. The installations take turns, after one start that warms the caches up."""
    taken: dict[int, list[float]] = {users: [] for users in charters}
    for number in range(rounds + 1):
        for users, charter in charters.items():
            with serving(charter, frozenset({CORE})) as service:
                taken[users] += [service.seconds] if number else []
    return taken


def _statements(charter: Charter, users: int) -> dict[str, Statements]:
    """Return the statements of each operation."""
    path = charter.folder / "statements"
    with _staged(charter, users, STATEMENTS=str(path)) as stage:
        # The measured operations leave out the last users.
        admin = stage.admin_token()
        accounts = [stage.account(users - 1 - turn, admin) for turn in range(_TRACED)]
        return {name: _fewest(stage.measured, path, map(operation, accounts)) for name, operation in OPERATIONS.items()}


def _fewest(client_: Client, path: Path, requests: Iterable[Request]) -> Statements:
    """Send the requests, and return the statements of the one that needs the fewest: others may renew a cache."""
    return min((_written(client_, path, request) for request in requests), key=len)


def _written(client_: Client, path: Path, request: Request) -> Statements:
    path.write_text("")
    client_.succeed(request)
    written = map(json.loads, path.read_text().splitlines())
    return [(statement, [_LITERAL.sub("?", line) for line in plan]) for statement, plan in written]


def is_same_access(small: Statements, big: Statements) -> bool:
    """Return True if both send the same statements, which read the same tables by the same indexes and conditions."""
    return [(statement, _access(plan)) for statement, plan in small] == [
        (statement, _access(plan)) for statement, plan in big
    ]


def _access(plan: Iterable[str]) -> list[str]:
    """Return a plan without what PostgreSQL chooses by the size of a table: a bitmap, and a sort in place of an order.

    A bitmap is somewhat cheaper than a plain scan of an index if a table has few pages.
    """
    lines = (_INDEX_SCAN.sub(r"Index \1", line.strip(" ->")) for line in plan)
    return sorted(line for line in lines if not line.startswith(("Bitmap Heap Scan", "Recheck Cond", "Sort")))


def section(database: str, seconds: Seconds, statements: Mapping[int, Mapping[str, Statements]]) -> Section:
    """Return the ratio of each operation, and the statements and plans that differ."""
    small, big = (statements[users] for users in sorted(statements))
    medians = {name: [median(each[users]) for users in sorted(each)] for name, each in seconds.items()}
    plans = {name: _verdict(small[name], big[name]) for name in OPERATIONS}
    differ = [name for name in OPERATIONS if plans[name] == _DIFFER]
    columns = (
        "operation",
        *(f"ms with {users:,} users" for users in sorted(statements)),
        "ratio",
        "statements",
        "plans",
    )
    rows = [
        (name, *(f"{1000 * each:.2f}" for each in pair), f"{pair[1] / pair[0]:.2f}", *_counts(name, big, plans))
        for name, pair in medians.items()
    ]
    figures = {
        f"scale/{database}": max(big_ / small_ for small_, big_ in medians.values()),
        f"scale/{database}/plans": len(differ),
    }
    differences = [line for name in differ for line in _difference(name, small[name], big[name])]
    title = f"{max(statements):,} users beside {min(statements):,}, on {database}"
    return Section(title, [*table(columns, rows), *differences], figures, {})


def _verdict(small: Statements, big: Statements) -> str:
    if small == big:
        return "equal"
    return "same indexes" if is_same_access(small, big) else _DIFFER


def _counts(name: str, statements: Mapping[str, Statements], plans: Mapping[str, str]) -> tuple[str, str]:
    """Return the columns of the statements. A start has none."""
    return (str(len(statements[name])), plans[name]) if name in statements else ("", "")


def _difference(name: str, small: Statements, big: Statements) -> Iterator[str]:
    """Yield each statement of one operation that differs, with its two plans."""
    nothing: tuple[str, list[str]] = ("", [])
    for of_small, of_big in zip_longest(small, big, fillvalue=nothing):
        if not is_same_access([of_small], [of_big]):
            yield from ("", f"{name}: `{of_small[0]}` had the plan {of_small[1]}, and `{of_big[0]}` had {of_big[1]}.")

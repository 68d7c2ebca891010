"""The figures and their bounds. All bounds are ratios within one run, so they apply to any machine."""

import operator
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_SIGNS = {"at least": operator.ge, "at most": operator.le}


class Bar(NamedTuple):
    """A bound for a figure."""

    what: str
    sign: str
    bound: float
    unit: str

    def verdict(self, figure: float) -> str:
        """Return `holds` or `MISSED`."""
        return "holds" if _SIGNS[self.sign](figure, self.bound) else "MISSED"


class Section(NamedTuple):
    """A table, its figures for the bars by name, and its figures for the chart by service."""

    title: str
    table: Sequence[str]
    figures: Mapping[str, float]
    drawn: Mapping[str, float]


def _times(what: str, baseline: str, bound: float) -> Bar:
    return Bar(f"{what}, rate beside {baseline}", "at least", bound, "times")


def _beside_logins(clients: int) -> dict[str, Bar]:
    meanwhile = f"while {clients} clients log in, on one core"
    return {
        f"p99/{clients}": Bar(f"GET /protected {meanwhile}: p99, of its undisturbed one", "at most", 3, "times"),
        f"kept/{clients}": Bar(f"GET /protected {meanwhile}: rate, of its undisturbed one", "at least", 70, "%"),
        f"refused/{clients}": Bar(f"The slowest refusal {meanwhile}, of the time of one hash", "at most", 33, "%"),
        f"served/{clients}": Bar(f"Log-ins served {meanwhile}, of those an idle core serves", "at least", 30, "%"),
    }


def _beside_template(database: str) -> dict[str, Bar]:
    baseline = "of that of FastAPI with the template's look-up"
    return {
        f"start/{database}": Bar(f"Start to first answer on {database}, {baseline}", "at most", 1.5, "times"),
        f"resident/{database}": Bar(f"Memory on {database}, {baseline}", "at most", 100, "%"),
    }


def _with_two_workers(name: str, what: str) -> dict[str, Bar]:
    two = f"{what} on PostgreSQL with two workers: CPU beside one at"
    return {
        f"workers/{name}": Bar(f"{two} the same rate", "at most", 1.15, "times"),
        f"workers/{name}/each": Bar(f"{two} the same rate per worker", "at most", 1.15, "times"),
    }


def _sized(database: str) -> dict[str, Bar]:
    big = f"1,000,000 users beside 1,000, on {database}"
    while_purging = f"While 1,000,000 expired sessions are deleted on {database}: refreshes"
    return {
        f"scale/{database}": Bar(f"{big}: time of the operation that grows most", "at most", 1.25, "times"),
        f"scale/{database}/plans": Bar(f"{big}: other statements or indexes", "at most", 0, "operations"),
        f"purge/{database}": Bar(f"{while_purging}, p99 beside that of a quiet database", "at most", 2, "times"),
        f"purge/{database}/refused": Bar(f"{while_purging} that are refused", "at most", 0, "refreshes"),
    }


def _memory(database: str) -> Bar:
    what = f"Memory per worker with 4 workers on {database}, of that of FastAPI with the template's look-up"
    return Bar(what, "at most", 100, "%")


def _refusal(database: str) -> Bar:
    refused = f"A log-in that a rate limit refuses, on {database}"
    return Bar(f"{refused}: CPU, beside that of GET /api/v1/me, not cached", "at most", 1.5, "times")


def _introspection(database: str) -> Bar:
    what = f"Introspection of a token on {database}: CPU, beside that of GET /api/v1/me"
    return Bar(what, "at most", 2.5, "times")


def _accounts(database: str) -> dict[str, Bar]:
    refresh, beside = f"Refresh on {database}: CPU, of that of", "without the hash: CPU, beside that of GET /protected"
    return {
        f"refresh/{database}/baseline": Bar(f"{refresh} FastAPI with SQLModel", "at most", 40, "%"),
        f"refresh/{database}/base": Bar(f"{refresh} the older checkout", "at most", 25, "%"),
        f"login/{database}/protected": Bar(f"Log-in on {database}, {beside}", "at most", 11, "times"),
        f"signup/{database}/protected": Bar(f"Sign-up on {database}, {beside}", "at most", 11, "times"),
    }


BARS = {
    "protected/FastAPI async def": _times("GET /protected, a token seen before", "FastAPI async def", 1.6),
    "protected/FastAPI def": _times("GET /protected, a token seen before", "FastAPI def", 2.3),
    "fresh/FastAPI async def": _times("GET /protected, a new token each time", "FastAPI async def", 1.1),
    "orders/FastAPI async def": _times("POST /api/v1/orders", "FastAPI async def", 1.15),
    "ping/FastAPI async def": _times("GET /ping", "FastAPI async def", 1.1),
    "me/SQLite": _times("GET /api/v1/me on SQLite", "FastAPI with the template's look-up", 5),
    "me/PostgreSQL": _times("GET /api/v1/me on PostgreSQL", "FastAPI with the template's look-up", 5),
    "keys": Bar("GET /protected with an API key: rate, of that with an access token", "at least", 90, "%"),
    **_accounts("SQLite"),
    **_accounts("PostgreSQL"),
    **_sized("SQLite"),
    **_sized("PostgreSQL"),
    "introspection/SQLite": _introspection("SQLite"),
    "introspection/PostgreSQL": _introspection("PostgreSQL"),
    "refusal/SQLite": _refusal("SQLite"),
    "refusal/PostgreSQL": _refusal("PostgreSQL"),
    **_with_two_workers("me", "GET /api/v1/me"),
    **_with_two_workers("refresh", "Refresh"),
    "logins/1": Bar("Log-ins on one core, of its raw bcrypt rate", "at least", 95, "%"),
    "logins/2": Bar("Log-ins on two cores, of their raw bcrypt rate", "at least", 92, "%"),
    **_beside_logins(8),
    **_beside_logins(64),
    **_beside_template("SQLite"),
    **_beside_template("PostgreSQL"),
    "memory/SQLite": _memory("SQLite"),
    "memory/PostgreSQL": _memory("PostgreSQL"),
    "grown": Bar("Growth of the memory under log-ins", "at most", 5, "%"),
}

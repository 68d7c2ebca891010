"""Rate limits of log-in and other operations: exact, shared by all processes, and harmless for the owner."""

import io
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import URL
from starlette.testclient import TestClient

from api import contract
from api.app import create_app
from api.config import Config
from api.config.parsers import rate_limits
from api.config.paths import resource_dir
from api.contract import Policy
from api.contract.document.operation import resolve
from api.errors import DatabaseUnavailable
from api.storage.rate_limit_store import RateLimitStore
from tests.runtime.test_bulkhead import Clock, bulkhead_clock, closed, crowd
from tests.support import own
from tests.support.admins import admin_of
from tests.support.bcrypt_spy import Bcrypt
from tests.support.charter import until
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.limited_calls import limited_calls
from tests.support.log_stream import lines
from tests.support.mailbox import Mailbox
from tests.support.person import PASSWORD, newcomer
from tests.support.problems import assert_problem
from tests.support.readme import blocks, page
from tests.support.serving import serving
from tests.support.types import Travel
from tests.support.workers import at, statements

__all__ = ["bulkhead_clock"]

LOG_IN = "/api/v1/auth/login"
GENEROUS = ("logIn.address=off", "signUp.address=off")
THREE = ("logIn.address=3/60",)
PROXY = "10.0.0.1"
HOME = "203.0.113.7"

UNUSED = Config(database_url=URL.create("sqlite"), secret=bytes(32), pepper=bytes(32))

pytestmark = pytest.mark.usefixtures("still")


def wrong(client: httpx.Client, name: str = "alice", **more: str) -> httpx.Response:
    return client.post(LOG_IN, json={"username": name, "password": "wrong", **more})


def statuses(responses: Any) -> Counter[int]:
    return Counter(response.status_code for response in responses)


def forwarded(client: httpx.Client, *addresses: str) -> Counter[int]:
    """Return the statuses of a guess for each of these values of the header that a proxy adds."""
    headers = [{"x-forwarded-for": address} for address in addresses]
    body = {"username": "alice", "password": "wrong"}
    return statuses(client.post(LOG_IN, json=body, headers=each) for each in headers)


def parsed(field: str) -> dict[str, dict[str, int]]:
    """Parse a list of RFC 9651, section 3.1, whose members are strings with integers as parameters."""
    member = r'"([ !#-\[\]-~]*)"((?:;[a-z*][a-z0-9_.*-]*=-?[0-9]{1,15})+)'
    assert re.fullmatch(rf"{member}(?:[ \t]*,[ \t]*{member})*", field), field
    return {
        name: {key: int(number) for key, number in re.findall("([^;=]+)=([^;]+)", parameters)}
        for name, parameters in re.findall(member, field)
    }


@pytest.mark.parametrize("name", ["alice", "nobody9"])
def test_ten_wrong_passwords_then_429_whether_or_not_the_user_exists(
    limited: Callable[..., TestClient], travel: Travel, log: io.StringIO, name: str
) -> None:
    client = limited()
    newcomer(limited(peer=HOME), "alice")
    assert statuses(wrong(client, name) for _ in range(10)) == {401: 10}
    refused = wrong(client, name)
    assert_problem(refused, 429, "RATE_LIMITED")
    assert lines(log, "requests")[-1]["policy"] == "account"
    assert refused.headers["retry-after"] == "6"
    travel(timedelta(seconds=6))
    assert statuses(wrong(client, name) for _ in range(2)) == {401: 1, 429: 1}


def test_an_unknown_name_gets_the_same_bytes_as_a_known_one(limited: Callable[..., TestClient]) -> None:
    client = limited(*GENEROUS)
    newcomer(limited(peer=HOME), "alice")
    known, unknown = ([_without_request_id(wrong(client, name)) for _ in range(12)] for name in ("alice", "nobody9"))
    assert known == unknown
    assert [status for status, _, _ in known] == [401] * 10 + [429] * 2


def _without_request_id(response: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    request_id = response.headers["x-request-id"].encode()
    headers = [(name, text.replace(request_id, b"")) for name, text in response.headers.raw]
    return response.status_code, headers, response.content.replace(request_id, b"")


def test_the_right_password_is_refused_too_while_the_budget_is_spent(limited: Callable[..., TestClient]) -> None:
    client = limited()
    alice = newcomer(limited(peer=HOME), "alice")
    for _ in range(10):
        wrong(client)
    assert at(client, alice).log_in().status_code == 429


def test_successful_log_ins_do_not_count(limited: Callable[..., TestClient]) -> None:
    alice = newcomer(limited(), "alice")
    assert statuses(alice.log_in() for _ in range(30)) == {200: 30}


def test_simultaneous_right_log_ins_get_200_or_429_and_spend_nothing(config: Config) -> None:
    app = create_app(replace(config, rate_limits=GENEROUS))
    with serving(app) as address, httpx.Client(base_url=address) as client:
        alice = newcomer(client, "alice")
        found = statuses(at_once(*[alice.log_in] * 20))
        assert found.keys() <= {200, 429}
        assert found[200] >= 10
        # The shared budget, and that of the place.
        assert statuses(wrong(client) for _ in range(21)) == {401: 20, 429: 1}


def test_spellings_of_a_name_share_a_budget(limited: Callable[..., TestClient]) -> None:
    client = limited()
    spellings = ["alice@example.com", "ALICE@Example.com", "alice@example.com ", "\uff21lice@example.com"]
    assert statuses(wrong(client, spellings[at % 4]) for at in range(12)) == {401: 10, 429: 2}


def test_names_have_budgets_of_their_own(limited: Callable[..., TestClient]) -> None:
    client = limited()
    assert statuses(wrong(client, name) for name in ["alice", "bobby"] * 10) == {401: 20}


@pytest.mark.slow
def test_an_hour_has_a_budget_as_well(limited: Callable[..., TestClient], travel: Travel) -> None:
    client = limited()
    counts: Counter[int] = Counter()
    for _ in range(15):
        counts += statuses(wrong(client) for _ in range(10))
        travel(timedelta(seconds=60))
    # One more each 36 seconds in 15 minutes, and the last minute does not count.
    assert counts[401] == 100 + 14 * 60 // 36


def test_a_spent_budget_blocks_neither_sessions_nor_refreshes(limited: Callable[..., TestClient]) -> None:
    client = limited()
    alice = newcomer(client, "alice")
    for _ in range(11):
        wrong(client)
    assert (alice.get("/api/v1/me").status_code, alice.refresh().status_code) == (200, 200)


def test_a_refused_password_is_never_hashed(limited: Callable[..., TestClient], hashing: Bcrypt) -> None:
    client = limited()
    for _ in range(10):
        wrong(client)
    before = len(hashing.checked)
    assert wrong(client).status_code == 429
    assert len(hashing.checked) == before


def test_a_log_in_that_is_rejected_by_a_busy_server_does_not_count(
    config: Config, hashing: Bcrypt, bulkhead_clock: Clock
) -> None:
    app = create_app(replace(config, hashes=1, rate_limits=GENEROUS))
    with serving(app) as url, httpx.Client(base_url=url) as client, crowd(url, 2) as log_in, statements() as sent:
        newcomer(client, "alice")
        sent.clear()
        with closed(hashing) as gate:
            waiting = [log_in(), log_in()]
            gate.wait_for(1)
            until(lambda: sum("users" in statement for statement in sent) == 2)
            # The estimate of the second log-in now exceeds the longest wait.
            bulkhead_clock.work(2.1)
            refused = [wrong(client, "bobby") for _ in range(15)]
            assert {(response.status_code, response.json()["code"]) for response in refused} == {(503, "TOO_BUSY")}
            gate.open()
            assert {response.result().status_code for response in waiting} == {200}
        assert statuses(wrong(client, "bobby") for _ in range(11)) == {401: 10, 429: 1}


def test_budgets_are_shared_by_processes_and_survive_a_restart(limited: Callable[..., TestClient]) -> None:
    first, second = limited(), limited()
    assert statuses(wrong(first) for _ in range(5)) == {401: 5}
    assert statuses(wrong(second) for _ in range(6)) == {401: 5, 429: 1}
    assert wrong(limited()).status_code == 429


@pytest.mark.slow
def test_parallel_guesses_spend_no_more_than_the_budget(config: Config) -> None:
    app = create_app(replace(config, rate_limits=GENEROUS))
    with serving(app) as address, httpx.Client(base_url=address) as client, ThreadPoolExecutor(20) as threads:
        for at in range(5):
            responses = list(threads.map(lambda _, name=f"user{at}": wrong(client, name), range(20)))
            assert statuses(responses) == {401: 10, 429: 10}


def test_public_budgets_are_reported_and_those_of_names_are_not(limited: Callable[..., TestClient]) -> None:
    client = limited("logIn.address=3/60")
    alice = newcomer(client, "alice")
    responses = [wrong(client), alice.log_in(), wrong(client), wrong(client)]
    # The newcomer has logged in once.
    assert [response.status_code for response in responses] == [401, 200, 429, 429]
    assert [response.headers["ratelimit"] for response in responses] == [
        '"address";r=1;t=20',
        '"address";r=0;t=20',
        '"address";r=0;t=20',
        '"address";r=0;t=20',
    ]
    assert {response.headers["ratelimit-policy"] for response in responses} == {'"address";q=3;w=60'}
    assert responses[-1].headers["retry-after"] == "20"
    assert "ratelimit" not in alice.get("/api/v1/me").headers


@pytest.mark.usefixtures("all_features")
def test_rate_limit_headers_are_lists_of_rfc_9651(config: Config, limited: Callable[..., TestClient]) -> None:
    client = limited()
    alice = newcomer(client, "alice")
    calls = limited_calls(client, alice, admin_of(config, client))
    for operation, policies in contract.limited(contract.load(resource_dir("openapi"))):
        if operation.tag in own.TAGS:
            continue
        assert operation.id in calls, "name your tags in tests/support/own.py"
        first, second = (calls[operation.id]().headers for _ in range(2))
        public = {policy.name: {"q": policy.quota, "w": policy.window} for policy in policies if policy.is_public}
        assert parsed(first["ratelimit-policy"]) == parsed(second["ratelimit-policy"]) == public
        before, after = parsed(first["ratelimit"]), parsed(second["ratelimit"])
        assert before.keys() == after.keys() == public.keys()
        for name, policy in public.items():
            assert after[name]["r"] == before[name]["r"] - 1
            assert 1 <= after[name]["t"] <= policy["w"]


def test_a_client_cannot_choose_the_address_that_is_limited(
    limited: Callable[..., TestClient], log: io.StringIO
) -> None:
    client = limited(*THREE, peer="198.51.100.1")
    assert forwarded(client, *(f"1.2.3.{at}" for at in range(5))) == {401: 3, 429: 2}
    assert {line["address"] for line in lines(log, "requests")} == {"198.51.100.1"}


def test_clients_behind_a_trusted_proxy_have_budgets_of_their_own(limited: Callable[..., TestClient]) -> None:
    client = limited(*THREE, peer=PROXY, trusted_proxies=(PROXY,))
    spellings = ["9.9.9.9, 203.0.113.7", "203.0.113.7:5678", "::ffff:203.0.113.7", "[::ffff:203.0.113.7]:80"]
    assert forwarded(client, *spellings) == {401: 3, 429: 1}
    assert forwarded(client, "::ffff:203.0.113.8") == {401: 1}


def test_addresses_of_one_ipv6_network_share_a_budget(limited: Callable[..., TestClient]) -> None:
    client = limited(*THREE, peer=PROXY, trusted_proxies=(PROXY,))
    assert forwarded(client, *(f"2001:db8:1:2::{at:x}" for at in range(20))) == {401: 3, 429: 17}
    assert forwarded(client, "2001:db8:1:3::1") == {401: 1}


def test_an_override_off_removes_one_policy(limited: Callable[..., TestClient]) -> None:
    client = limited("logIn.account=off")
    assert statuses(wrong(client) for _ in range(20)) == {401: 20}


@on_sqlite
def test_an_unknown_override_prevents_the_start(config: Config) -> None:
    with pytest.raises(
        Exception, match=r"no operation has the rate limit logn\.address; did you mean logIn\.address\?"
    ):
        create_app(replace(config, rate_limits=("logn.address=1/1",)))


def test_the_clock_may_be_set_back(limited: Callable[..., TestClient], travel: Travel) -> None:
    client = limited()
    for _ in range(11):
        wrong(client)
    travel(-timedelta(hours=3))
    assert wrong(client).status_code == 401
    travel(timedelta(hours=3, seconds=1))
    assert wrong(client).status_code == 401


def test_a_full_budget_stays_full_when_the_clock_is_set_back(
    limited: Callable[..., TestClient], travel: Travel
) -> None:
    alice = newcomer(limited(), "alice")
    for hours in (1, -1, -1, 1):
        travel(timedelta(hours=hours))
        assert alice.log_in().status_code == 200


def test_a_user_who_guesses_the_current_password_is_refused(limited: Callable[..., TestClient]) -> None:
    alice = newcomer(limited(), "alice")
    change = {"current_password": "wrong", "new_password": "a better battery for this horse"}
    path = "/api/v1/me/password"
    assert statuses(alice.put(path, json=change) for _ in range(11)) == {403: 10, 429: 1}
    assert alice.put(path, json=change | {"current_password": PASSWORD}).status_code == 429


@pytest.mark.slow
def test_a_stranger_can_send_few_mails_with_the_address_of_another_person(
    limited: Callable[..., TestClient], mailbox: Mailbox
) -> None:
    client = limited(deletion_days=0)
    mallory = newcomer(client, "mallory")
    path, passwords = "/api/v1/me/password", cycle([PASSWORD, "a better battery for this horse"])
    changes = [{"current_password": old, "new_password": new} for old, new in pairwise(islice(passwords, 13))]
    assert statuses(mallory.put(path, json=change) for change in changes) == {204: 10, 429: 2}
    # Attempts that send no mail do not keep the owner from signing up.
    taken = {"username": "mallory", "email": "bobby@example.com", "password": PASSWORD}
    assert statuses(client.post("/api/v1/auth/signup", json=taken) for _ in range(6)) == {409: 6}
    for name in ("first", "second", "third", "fourth", "fifth"):
        form = {"username": name, "email": "bobby@example.com", "password": PASSWORD}
        assert client.post("/api/v1/auth/signup", json=form).status_code == 201
        mallory.log_in(username=name)
        assert mallory.post("/api/v1/me/deletion", json={"current_password": PASSWORD}).status_code == 202
    form = {"username": "sixth", "email": "Bobby@EXAMPLE.com", "password": PASSWORD}
    assert_problem(client.post("/api/v1/auth/signup", json=form), 429, "RATE_LIMITED")
    assert Counter(mailbox.deliver().to) == {mallory.email: 10, "bobby@example.com": 5}


@on_sqlite
def test_budgets_are_in_a_file_of_their_own(limited: Callable[..., TestClient], config: Config) -> None:
    client = limited()
    wrong(client)
    content = Path(f"{config.database_url.database}-limits").read_bytes()
    assert b"alice" not in content
    assert b"testclient" not in content


def test_an_unusable_table_refuses_limited_operations_only(
    limited: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = limited()
    alice = newcomer(client, "alice")

    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable()

    monkeypatch.setattr(RateLimitStore, "take", fail)
    assert_problem(wrong(client), 503, "DATABASE_UNAVAILABLE")
    assert alice.get("/api/v1/me").status_code == 200


def test_limited_operations_declare_what_the_limiter_returns() -> None:
    document = contract.load(resource_dir("openapi"))
    policies = {operation.id: found for operation, found in contract.limited(document)}
    for operation in document.operations():
        # Unknown API keys and services are limited, too.
        accepts_others = {"apiKey": []} in operation.security or {"client": []} in operation.security
        assert ("429" in operation.responses) is (operation.id in policies or accepts_others)
    published = {operation.id: operation for operation in contract.Contract(contract.published(document)).operations()}
    for operation, found in contract.limited(document):
        description = published[operation.id].definition["description"]
        assert re.findall(r"^\* `([a-z-]+)`: ", description, re.MULTILINE) == [policy.name for policy in found]
        refused, busy = (resolve(operation.responses[status], document.document) for status in ("429", "503"))
        public = {"RateLimit", "RateLimit-Policy"} if any(policy.is_public for policy in found) else set()
        assert refused["headers"].keys() >= {"Retry-After", *public}
        # The table of budgets may be full or unusable.
        assert "Retry-After" in busy["headers"]
        examples = busy["content"]["application/problem+json"]["examples"]
        assert examples.keys() >= {"DATABASE_UNAVAILABLE", "TOO_BUSY"}, operation.id


def test_the_documented_limits_are_those_of_the_contract() -> None:
    document = contract.load(resource_dir("openapi"))
    limited = contract.limited(document)
    overrides, example = (found.text for found in blocks("docs/rate-limits.md"))
    name, _, value = overrides.strip().partition("=")
    assert name == "CHARTER_RATE_LIMITS"
    changed = replace(UNUSED, rate_limits=rate_limits(value.strip("'")))
    assert contract.with_overrides(document, changed.limit_overrides)
    listed = yaml.safe_load(example)["x-rate-limit"]
    documented = [Policy(**entry | {"apart": tuple(entry.get("apart", ()))}) for entry in listed]
    assert documented == {operation.id: found for operation, found in limited}["logIn"][:2]
    rows = re.findall(r"^\| `(\w+)` \|", page("docs/rate-limits.md"), re.MULTILINE)
    of_charter = {operation.id for operation, _ in limited if operation.tag not in own.TAGS}
    assert set(rows) - {"name", "by", "refund", "apart"} == of_charter, "name your tags in tests/support/own.py"

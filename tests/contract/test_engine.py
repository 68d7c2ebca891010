"""The engine of the contract, with a contract and handlers of its own: what no operation of today uses is kept, too."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID

import flask
import httpx
import pytest
from connexion import ConnexionMiddleware
from starlette.testclient import TestClient

from api import contract
from api.contract import ContractError
from tests.support.patience import PATIENCE_SECONDS
from tests.support.serving import serving

SHARED = """
openapi: 3.0.3
info: {title: Engine, version: '1'}
security: []
paths: {}
components:
  securitySchemes:
    bearer: {type: http, scheme: bearer}
"""
ECHO = "responses: {'200': {description: '', content: {application/json: {schema: {type: object}}}}}"
PARTS = f"""
tags: [{{name: a}}]
paths:
  /path/{{number}}/{{flag}}/{{word}}:
    get:
      tags: [a]
      operationId: echoPath
      parameters:
        - {{$ref: '#/components/parameters/Number'}}
        - {{name: flag, in: path, required: true, schema: {{type: boolean}}}}
        - {{name: word, in: path, required: true, schema: {{$ref: '#/components/schemas/Word'}}}}
      {ECHO}
  /path/1/true/own:
    get:
      tags: [a]
      operationId: echoNothing
      {ECHO}
  /query:
    get:
      tags: [a]
      operationId: echoQuery
      parameters:
        - {{name: number, in: query, schema: {{type: integer, minimum: -5, default: 7}}}}
        - {{name: flag, in: query, schema: {{type: boolean}}}}
        - {{name: word, in: query, schema: {{$ref: '#/components/schemas/Word'}}}}
      {ECHO}
  /must:
    get:
      tags: [a]
      operationId: echoMust
      parameters: [{{name: word, in: query, required: true, schema: {{type: string}}}}]
      {ECHO}
  /things:
    get:
      tags: [a]
      operationId: listThings
      responses:
        '200':
          description: ''
          content:
            application/json:
              schema: {{type: array, items: {{$ref: '#/components/schemas/Thing'}}}}
    post:
      tags: [a]
      operationId: addThing
      responses: {{'201': {{description: ''}}}}
components:
  parameters:
    Number: {{name: number, in: path, required: true, schema: {{type: integer}}}}
  schemas:
    Word: {{type: string, maxLength: 5, format: word}}
    Thing:
      type: object
      additionalProperties: false
      required: [id]
      properties:
        id: {{type: string}}
        at: {{type: string, format: date-time}}
        note: {{type: string}}
"""


class Ledger:
    """Stands in for the database: it writes down how each transaction ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    @contextmanager
    def transaction(self) -> Iterator["Ledger"]:
        try:
            yield self
        except Exception:
            self.ends.append("rolled back")
            raise
        self.ends.append("committed")


def echo_path(number: int, flag: bool, word: str) -> dict[str, Any]:
    return {"number": number, "flag": flag, "word": word}


def echo_nothing() -> dict[str, Any]:
    return {"own": True}


def echo_query(number: int, flag: bool | None, word: str | None) -> dict[str, Any]:
    return {"number": number, "flag": flag, "word": word}


def echo_must(word: str) -> dict[str, Any]:
    return {"word": word}


def list_things() -> list[object]:
    return []


def add_thing() -> None:
    return None


def returning(answer: object) -> Callable[[Ledger], object]:
    """A handler that opens a transaction and answers so."""

    def handler(db: Ledger) -> object:
        return answer

    return handler


HANDLERS = (echo_path, echo_nothing, echo_query, echo_must, list_things, add_thing)


@dataclass(frozen=True)
class Caller:
    """Who is calling: the token is a list of scopes."""

    scopes: frozenset[str]


class Engine:
    """A folder with a contract and a package with handlers, both to be changed before it starts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.ledger = Ledger()
        self.formats: dict[str, Callable[[str], bool]] = {"word": str.isalpha}
        self.resources: dict[str, Any] = {}
        self.handlers = ModuleType("made.a")
        for handler in HANDLERS:
            setattr(self.handlers, handler.__name__, handler)
        package = ModuleType("made")
        package.__path__ = []
        package.__file__ = str(folder / "__init__.py")
        monkeypatch.setitem(sys.modules, "made", package)
        monkeypatch.setitem(sys.modules, "made.a", self.handlers)
        self.write(PARTS)
        (folder / "openapi.yaml").write_text(SHARED)

    def write(self, text: str, file: str = "a.yaml") -> None:
        (self.folder / file).write_text(text)

    def start(self) -> ConnexionMiddleware:
        @asynccontextmanager
        async def lifespan(_: object) -> Any:
            yield

        async def identify(token: str) -> Caller:
            return Caller(frozenset(token.split(",")))

        return contract.assemble(
            contract.load(self.folder),
            handlers="made",
            identify=identify,
            formats=self.formats,
            serving=contract.HandlerResources(self.ledger.transaction, self.resources),
            lifespan=lifespan,
            body_bytes=1024,
            body_seconds=5,
            check_answers=False,
        )

    def ask(self, path: str, method: str = "GET", **sent: Any) -> Any:
        with TestClient(self.start()) as client:
            return client.request(method, path, **sent)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    return Engine(tmp_path, monkeypatch)


# Parameters


NOTHING_SENT = {"number": 7, "flag": None, "word": None}


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("", {}),
        ("number=0", {"number": 0}),
        ("number=-5", {"number": -5}),
        (f"number={2**63 - 1}", {"number": 2**63 - 1}),
        ("flag=true", {"flag": True}),
        ("flag=false&number=1", {"flag": False, "number": 1}),
        ("word=abc", {"word": "abc"}),
        ("word=%C3%A4", {"word": "ä"}),
    ],
)
def test_a_query_is_read_as_the_contract_types_it(engine: Engine, query: str, read: dict[str, Any]) -> None:
    answer = engine.ask(f"/query?{query}")
    assert (answer.status_code, answer.json()) == (200, NOTHING_SENT | read)


WRONG_INTEGERS = [
    "",
    "1_0",
    "%EF%BC%91",
    "%2B1",
    "+1",
    "01",
    "-0_1",
    "1.0",
    "1e3",
    "NaN",
    "Infinity",
    "0x1",
    str(2**63),
]


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        *((f"number={text}", "/query/number WRONG_TYPE") for text in (*WRONG_INTEGERS, "9" * 5000)),
        ("number=-6", "/query/number TOO_SMALL"),
        *((f"flag={text}", "/query/flag WRONG_TYPE") for text in ("", "1", "True", "yes")),
        ("word=a1", "/query/word WRONG_FORMAT"),
        ("word=abcdef", "/query/word TOO_LONG"),
        ("word=%00", "/query/word WRONG_FORMAT"),
        ("word=a&word=a", "/query/word REPEATED"),
        ("number=1&num%62er=1", "/query/number REPEATED"),
        ("other=1", "/query UNKNOWN"),
        ("NUMBER=1", "/query UNKNOWN"),
        ("word=%FF", "/query WRONG_FORMAT"),
    ],
)
def test_a_query_that_is_not_exactly_what_the_contract_says_is_refused(engine: Engine, query: str, fault: str) -> None:
    answer = engine.ask(f"/query?{query}")
    assert answer.status_code == 400
    assert [f"{fault['pointer']} {fault['code']}" for fault in answer.json()["errors"]] == [fault]


def test_what_an_operation_takes_is_said(engine: Engine) -> None:
    def detail(path: str) -> str:
        return str(engine.ask(path).json()["errors"][0]["detail"])

    assert detail("/query?a=1") == "Unknown parameter. Allowed: flag, number, word."
    assert detail("/things?%FF") == "This operation has no query parameters."
    assert detail("/query?number=x") == "Must be an integer."
    assert detail("/query?word=1") == "Must have the format that the contract requires."


def test_a_parameter_that_is_required_is_asked_for(engine: Engine) -> None:
    assert engine.ask("/must?word=a").json() == {"word": "a"}
    assert engine.ask("/must").json()["errors"] == [
        {"pointer": "/query/word", "code": "REQUIRED", "detail": "This parameter is required."}
    ]


def test_a_path_is_read_as_the_contract_types_it(engine: Engine) -> None:
    assert engine.ask("/path/12/false/ab").json() == {"number": 12, "flag": False, "word": "ab"}


@pytest.mark.parametrize(
    ("path", "faults"),
    [
        *((f"/path/{text}/true/a", ["/path/number WRONG_TYPE"]) for text in WRONG_INTEGERS if text),
        ("/path/1/TRUE/a", ["/path/flag WRONG_TYPE"]),
        ("/path/1/true/a1", ["/path/word WRONG_FORMAT"]),
        ("/path/1/true/%00", ["/path/word WRONG_FORMAT"]),
        ("/path/x/x/1", ["/path/number WRONG_TYPE", "/path/flag WRONG_TYPE", "/path/word WRONG_FORMAT"]),
    ],
)
def test_a_path_that_is_not_exactly_what_the_contract_says_is_refused(
    engine: Engine, path: str, faults: list[str]
) -> None:
    answer = engine.ask(path)
    assert answer.status_code == 400
    assert [f"{fault['pointer']} {fault['code']}" for fault in answer.json()["errors"]] == faults


def test_a_concrete_path_comes_before_a_templated_one(engine: Engine) -> None:
    assert engine.ask("/path/1/true/own").json() == {"own": True}
    assert engine.ask("/path/1/true/other").status_code == 200


# Answers

ID = "019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d"


def test_an_answer_is_cut_to_the_contract_and_written_as_json(engine: Engine) -> None:
    noon = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
    engine.handlers.list_things = lambda: [  # type: ignore[attr-defined]
        {"id": UUID(ID), "at": noon.astimezone(timezone(timedelta(hours=2))), "note": "ä", "secret": 1},
        SimpleNamespace(id="2", at=None, secret=1),
        {"id": "3"},
    ]
    answer = engine.ask("/things")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == [{"id": ID, "at": "2026-01-31T12:00:00.123Z", "note": "ä"}, {"id": "2"}, {"id": "3"}]


def test_an_answer_that_lacks_what_is_required_fails(engine: Engine) -> None:
    engine.handlers.list_things = lambda: [{"note": "x"}]  # type: ignore[attr-defined]
    assert engine.ask("/things").status_code == 500


def test_a_handler_can_add_headers_and_give_one_twice(engine: Engine) -> None:
    engine.handlers.add_thing = lambda: (None, [("Link", "<a>"), ("Link", "<b>")])  # type: ignore[attr-defined]
    answer = engine.ask("/things", "POST")
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers.get_list("link") == ["<a>", "<b>"]
    assert "content-type" not in answer.headers


def test_an_answer_without_content_says_nothing_of_it(engine: Engine) -> None:
    engine.write(PARTS.replace("'201'", "'204'"))
    answer = engine.ask("/things", "POST")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not {"content-type", "content-length"} & answer.headers.keys()


def test_what_the_contract_leaves_open_is_written_as_json_or_not_at_all(engine: Engine) -> None:
    for value in ({"of": Caller(frozenset())}, {"of": datetime.now(UTC)}, Caller(frozenset())):
        engine.handlers.echo_nothing = returning(value)  # type: ignore[attr-defined]
        assert engine.ask("/path/1/true/own").status_code == 500


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\x00b"])
def test_no_header_of_an_answer_becomes_two(engine: Engine, value: str) -> None:
    engine.handlers.add_thing = returning((None, {"X-Word": value}))  # type: ignore[attr-defined]
    with serving(engine.start()) as url:
        answer = httpx.post(f"{url}/things")
        assert answer.status_code == 500
        assert not {"set-cookie", "x-word"} & answer.headers.keys()
    assert engine.ledger.ends == ["rolled back"]


# What a handler gets


def test_a_handler_gets_the_resources_it_names(engine: Engine) -> None:
    engine.resources = {"lent": ["1", "2"], "unasked": object()}
    engine.handlers.list_things = lambda lent: [{"id": name} for name in lent]  # type: ignore[attr-defined]
    assert engine.ask("/things").json() == [{"id": "1"}, {"id": "2"}]


def test_returning_commits_and_raising_rolls_back(engine: Engine) -> None:
    def fail(db: Ledger) -> None:
        assert db is engine.ledger
        raise ValueError

    engine.handlers.list_things, engine.handlers.add_thing = returning([]), fail  # type: ignore[attr-defined]
    assert engine.ask("/things").status_code == 200
    assert engine.ledger.ends == ["committed"]
    assert engine.ask("/things", "POST").status_code == 500
    assert engine.ledger.ends == ["committed", "rolled back"]


def test_an_answer_that_cannot_be_given_is_not_committed(engine: Engine) -> None:
    engine.handlers.list_things = returning([object()])  # type: ignore[attr-defined]
    assert engine.ask("/things").status_code == 500
    assert engine.ledger.ends == ["rolled back"]


def test_only_who_asks_for_a_transaction_opens_one(engine: Engine) -> None:
    assert engine.ask("/things").status_code == 200
    assert engine.ledger.ends == []


def test_flasks_request_knows_what_stands_in_the_path(engine: Engine) -> None:
    def look(number: int, flag: bool, word: str) -> dict[str, Any]:
        return flask.request.view_args or {}

    engine.handlers.echo_path = look  # type: ignore[attr-defined]
    assert engine.ask("/path/1/false/ab").json() == {"number": "1", "flag": "false", "word": "ab"}


@pytest.mark.parametrize("watched", [False, True])
def test_a_handler_finds_flasks_request_as_it_came(engine: Engine, watched: bool) -> None:
    def look() -> list[dict[str, str]]:
        flask.g.seen = flask.request.headers["X-Word"]
        flask.after_this_request(mark)
        return [{"id": f"{flask.request.method} {flask.request.full_path} {flask.g.seen} {flask.current_app.name}"}]

    def mark(response: flask.Response) -> flask.Response:
        response.headers["X-Marked"] = flask.g.seen
        return response

    heard: list[object] = []
    engine.handlers.list_things = look  # type: ignore[attr-defined]
    listening = flask.request_finished.connected_to(lambda *_, **__: heard.append(1)) if watched else nullcontext()
    with listening:
        answers = [engine.ask("/things", headers={"X-Word": word}) for word in ("one", "two")]
    assert [answer.json() for answer in answers] == [[{"id": f"GET /things? {word} made"}] for word in ("one", "two")]
    assert [answer.headers["x-marked"] for answer in answers] == ["one", "two"]
    assert len(heard) == 2 * watched


def test_a_handler_that_says_it_never_waits_gets_nothing_to_wait_for(engine: Engine) -> None:
    engine.handlers.list_things = contract.nonblocking(returning([]))  # type: ignore[attr-defined]
    with pytest.raises(ContractError, match="listThings is nonblocking"):
        engine.start()


def test_who_reads_does_not_wait_for_those_who_write(engine: Engine) -> None:
    written, began = threading.Event(), threading.Semaphore(0)

    def write() -> None:
        began.release()
        assert written.wait(timeout=PATIENCE_SECONDS)

    engine.handlers.add_thing = write  # type: ignore[attr-defined]
    with TestClient(engine.start()) as client, ThreadPoolExecutor(40) as crowd:
        writing = [crowd.submit(client.post, "/things") for _ in range(40)]
        assert all(began.acquire(timeout=PATIENCE_SECONDS) for _ in range(16))
        assert client.get("/things").status_code == 200
        written.set()
        assert {answer.result().status_code for answer in writing} == {201}


# What the contract says of an operation in extensions


@pytest.mark.parametrize(("token", "status"), [("", 401), ("a", 403), ("a,c", 403), ("a,b", 200), ("c,b,a", 200)])
def test_an_operation_asks_for_all_of_its_scopes(engine: Engine, token: str, status: int) -> None:
    engine.write(path(GOOD.replace("resp", "security: [{bearer: []}], x-scopes: [a, b], resp")))
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    answer = engine.ask("/x", headers={"Authorization": f"Bearer {token}"} if token else {})
    assert answer.status_code == status
    if status == 403:
        assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="a b"'
        assert answer.json()["code"] == "INSUFFICIENT_SCOPE"


@pytest.mark.parametrize("roles", ["[a]", "{user: a}", "{user: [c]}", "{user: [a, c]}", "{user: [[a]]}"])
def test_a_role_is_a_list_of_scopes_that_operations_require(engine: Engine, roles: str) -> None:
    engine.write(path(GOOD.replace("resp", "security: [{bearer: []}], x-scopes: [a, b], resp")))
    assert contract.load(engine.folder).scopes_of("user") == set()
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}x-roles: {{user: [a]}}\n")
    assert contract.load(engine.folder).scopes_of("user") == {"a"}
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}x-roles: {roles}\n")
    with pytest.raises(ContractError, match="x-roles"):
        contract.load(engine.folder)


@pytest.mark.parametrize("size", [100, 2000])
def test_an_operation_can_have_a_limit_of_its_own_to_bodies(engine: Engine, size: int) -> None:
    engine.write(path(GOOD.replace("resp", f"requestBody: {BODY}, x-body-bytes: {size}, resp")).replace("get:", "put:"))
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    for length, status in ((size, 200), (size + 1, 413)):
        for content in (b"{}".ljust(length), iter([b"{}".ljust(length)])):
            answer = engine.ask("/x", "PUT", content=content, headers={"Content-Type": "application/json"})
            assert (length, answer.status_code) == (length, status)
    assert answer.json()["detail"] == f"The body is larger than {size} bytes."


# What cannot be served is refused at the start


BODY = "{content: {application/json: {schema: {type: object}}}}"


def path(operation: str, address: str = "/x") -> str:
    return f"tags: [{{name: a}}]\npaths:\n  {address}:\n    get: {operation}\n"


def taking(*parameters: str, address: str = "/x") -> str:
    return path(f"{{tags: [a], operationId: listThings, parameters: [{', '.join(parameters)}], {ECHO}}}", address)


GOOD = f"{{tags: [a], operationId: listThings, {ECHO}}}"
WORD = "{name: word, in: query, schema: {type: string}}"
NEITHER = "a.yaml: GET /x: the parameter 'word' must be a string, an integer or a boolean"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a.yaml must be a mapping"),
        ("- a", "a.yaml must be a mapping"),
        ("paths: [", "a.yaml is not valid YAML"),
        ("paths: {}\npaths: {}", "a.yaml, line 2: duplicate key 'paths'"),
        ("tags: [{name: a}]\npath: {}", "a.yaml must have tags and paths"),
        ("tags: [{name: a}]\npaths:\n", "a.yaml, line 2: 'paths' must not be empty"),
        ("tags: [{name: a}]\npaths: []", "a.yaml: paths must be a mapping"),
        ("tags: [{name: a}]\npaths: {/x: []}", "a.yaml: /x must be a mapping"),
        ("tags: [{name: b}]\npaths: {}", "a.yaml must describe exactly one tag, 'a'"),
        ("tags: a\npaths: {}", "a.yaml must describe exactly one tag, 'a'"),
        (path("[]"), "a.yaml: /x: get must be a mapping"),
        (path(GOOD) + "    parameters: []\n", "a.yaml: /x: unknown method 'parameters'"),
        (path(GOOD.replace("[a]", "[b]")), "a.yaml: GET /x must have exactly one tag, 'a'"),
        (path(GOOD.replace("'200'", "200")), "a.yaml, line 4: the key '200' must be quoted"),
        (path(GOOD.replace("'200'", "'2XX'")), "a.yaml: GET /x: '2XX' is not a three-digit status"),
        (path(GOOD.replace("'200'", "'400'")), "a.yaml: GET /x must declare exactly one 2xx response"),
        (path("{tags: [a], operationId: listThings}"), "a.yaml: GET /x: responses must be a mapping"),
        (path("{tags: [a], operationId: listThings, responses: {'200': []}}"), "a.yaml: GET /x: 200 must be a mapping"),
        (path(GOOD.replace("operationId: listThings, ", "")), "a.yaml: GET /x: operationId must be an identifier"),
        (path(GOOD) + f"    post: {GOOD}\n", "the operationId 'listThings' is already in use by a.yaml: .* /x"),
        (
            path(GOOD.replace("type: object", "$ref: '#/components/schemas/No'")),
            "/x > get > .*schema: reference .* not found",
        ),
        (path(GOOD) + "components: {schemas: {A: {$ref: b.yaml}}}", "schemas > A: reference 'b.yaml' not found"),
        (
            path(GOOD) + "components: {schemas: {A: {$ref: '#/components/schemas/A'}}}",
            "schemas > A: circular reference",
        ),
        (
            path(GOOD.replace("type: object", "$ref: '#/components/schemas/A'"))
            + "components: {schemas: {A: {type: array, items: {$ref: '#/components/schemas/A'}}}}",
            "recursive schemas are not supported",
        ),
        (
            path(GOOD) + "components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}",
            "components.securitySchemes.bearer is defined twice",
        ),
        (
            path(GOOD.replace("resp", "security: [{bearer: []}, {}], resp")),
            "a.yaml: GET /x: .* optional security is not supported",
        ),
        (path(GOOD.replace("resp", "security: {bearer: []}, resp")), "a.yaml: GET /x: security must be a list"),
        (
            path(GOOD.replace("resp", "x-scope: [a], resp")),
            "a.yaml: GET /x: unknown extension x-scope; did you mean x-scopes",
        ),
        (
            path(GOOD.replace("resp", "x-body-byte: 9, resp")),
            "unknown extension x-body-byte; did you mean x-body-bytes",
        ),
        (
            path(GOOD.replace("description: ''", "description: '', links: {a: {operationId: getNot}}")),
            "operation of the link 'a' not found",
        ),
        (path(GOOD.replace("resp", "summry: x, resp")), "'summry'"),
        (PARTS.replace("maxLength: 5", "maxLenght: 5"), "Word: .*'maxLenght'"),
        (
            PARTS.replace("maxLength: 5", "pattern: '(a'"),
            r"Word: the pattern '\(a' is not a valid regular expression: missing \)",
        ),
        (path(GOOD.replace("resp", "x-scopes: [a], resp")), "a.yaml: GET /x: x-scopes requires a token, but security"),
        *(
            (
                path(GOOD.replace("resp", f"security: [{{bearer: []}}], x-scopes: {scopes}, resp")),
                "x-scopes must be a list",
            )
            for scopes in ("a", "[]", "['a b']", "[1]", "[[a]]", "{a: 1}")
        ),
        *(
            (path(GOOD.replace("resp", f"requestBody: {BODY}, x-body-bytes: {size}, resp")), "x-body-bytes must be")
            for size in (0, -1, "1.0", "true", "'9'", 2**24 + 1, "[]")
        ),
        (
            path(GOOD.replace("resp", "x-body-bytes: 9, resp")),
            "x-body-bytes must be an integer from 1 to 16777216 and needs a requestBody",
        ),
        (path(GOOD.replace("description: '', ", "")), "a.yaml: GET /x: the response 200 must have a description"),
        (path(GOOD.replace("resp", "parameters: {a: 1}, resp")), "a.yaml: GET /x: parameters must be a list"),
        (taking(WORD, WORD.replace("query", "path")), "a.yaml: GET /x: duplicate parameter 'word'"),
        (taking(WORD.replace("word", "body")), "a.yaml: GET /x: 'body' is a reserved name"),
        (taking(WORD.replace("word", "db")), "a.yaml: GET /x: 'db' is a reserved name"),
        (taking(WORD.replace("word", "identity")), "a.yaml: GET /x: 'identity' is a reserved name"),
        (taking("{name: word, in: query}"), NEITHER),
        (taking(WORD.replace("type: string", "")), NEITHER),
        (taking(WORD.replace("string", "number")), NEITHER),
        (taking(WORD.replace("query", "header")), NEITHER),
        (taking(WORD, address="/x/{word}"), "a.yaml: GET /x/{word}: path parameters and {placeholders} must match"),
        (
            taking(WORD.replace("query", "path, required: true"), address="/x/{word}.json"),
            "each must fill a whole segment",
        ),
        (taking(WORD.replace("string", "string, format: odd")), "unknown format 'odd'"),
        (
            PARTS.replace("type: string, format: date-time", "format: date-time"),
            "unknown format 'date-time' for type None",
        ),
        (PARTS.replace("date-time", "odd"), "schemas > Thing > properties > at: unknown format 'odd'"),
        (taking(WORD.replace("word", "lent")), "listThings: name already in use by a resource: lent"),
        (path(GOOD.replace("listThings", "findThing")), "findThing: made/a.py has no function find_thing"),
        (
            path(GOOD.replace("resp", "requestBody: {content: {text/plain: {}}}, resp")),
            "listThings: only application/json",
        ),
    ],
)
def test_a_contract_that_cannot_be_served_is_refused(engine: Engine, text: str, complaint: str) -> None:
    engine.resources = {"lent": 1}
    engine.write(text)
    with pytest.raises(ContractError, match=complaint.replace("{", r"\{")):
        engine.start()


def test_operations_come_in_the_order_of_the_document(engine: Engine) -> None:
    methods = ["put", "delete", "post", "get", "patch"]
    operations = "".join(f"    {method}: {{tags: [a], operationId: {method}It, {ECHO}}}\n" for method in methods)
    engine.write(f"tags: [{{name: a}}]\npaths:\n  /it:\n{operations}")
    assert [method for _, method, _ in contract.load(engine.folder).operations()] == methods


def test_the_file_that_all_tags_share_is_held_to_the_same(engine: Engine) -> None:
    for text, complaint in (
        (SHARED.replace("info:", "# "), "openapi.yaml: info must be a mapping"),
        (SHARED.replace("paths: {}", "paths: {/x: {}}"), "openapi.yaml: paths must be {}"),
    ):
        engine.write(text, "openapi.yaml")
        with pytest.raises(ContractError, match=complaint):
            engine.start()
    (engine.folder / "openapi.yaml").unlink()
    with pytest.raises(ContractError, match=r"openapi.yaml cannot be read: No such file"):
        engine.start()


def test_a_tag_without_a_module_is_refused(engine: Engine) -> None:
    engine.write(path(GOOD).replace("name: a", "name: b").replace("[a]", "[b]"), "b.yaml")
    engine.write(PARTS.replace("listThings", "listThings2"))
    engine.handlers.list_things2 = list_things  # type: ignore[attr-defined]
    with pytest.raises(ContractError, match=r"listThings: made/b\.py not found"):
        engine.start()


def test_a_handler_that_asks_for_what_is_not_offered_is_refused(engine: Engine) -> None:
    for handler in (lambda word: word, lambda body: body, lambda identity: identity):
        engine.handlers.list_things = handler  # type: ignore[attr-defined]
        with pytest.raises(ContractError, match="listThings: unknown parameters of the handler: "):
            engine.start()

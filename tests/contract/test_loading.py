"""Loading a contract and finding its handlers: errors at startup."""

import sys

import pytest

from api import contract
from api.contract import ContractError
from tests.support.engine import ECHO, OPERATION, PARTS, REQUEST_BODY, SHARED, Engine, document, list_things

WORD = "{name: word, in: query, schema: {type: string}}"


def document_with_parameters(*parameters: str, address: str = "/x") -> str:
    """Return a contract file with one operation that has these parameters."""
    return document(f"{{tags: [a], operationId: listThings, parameters: [{', '.join(parameters)}], {ECHO}}}", address)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.yaml:1: the file must be a mapping"),
        ("- a", "a.yaml:1: the file must be a mapping"),
        ("paths: [", "a.yaml:2: not valid YAML: did not find expected node content"),
        ("paths: {}\npaths: {}", "a.yaml:2: duplicate key 'paths'"),
        (
            "tags: [{name: a}]\npath: {}",
            "a.yaml:1: the file must have tags and paths, optionally components, and nothing else",
        ),
        ("tags: [{name: a}]\npaths:\n", "a.yaml:2: 'paths' must be a mapping"),
        ("tags: [{name: a}]\npaths: []", "a.yaml:2: 'paths' must be a mapping"),
        ("tags: [{name: a}]\npaths: {/x: []}", "a.yaml:2: /x: '/x' must be a mapping"),
        ("tags: [{name: b}]\npaths: {}", "a.yaml:1: tags: the file must describe exactly one tag, 'a'"),
        ("tags: a\npaths: {}", "a.yaml:1: tags: the file must describe exactly one tag, 'a'"),
        (document("[]"), "a.yaml:4: GET /x: 'get' must be a mapping, but is a list"),
        (document(OPERATION) + "    gett: {}\n", "a.yaml:5: /x > gett: unknown field 'gett'; did you mean 'get'"),
        (
            document(OPERATION.replace("[a]", "[b]")),
            "a.yaml:4: GET /x: the operation must have exactly one tag, 'a', as its file",
        ),
        (
            document(OPERATION.replace("'200'", "'6XX'")),
            "a.yaml:4: GET /x: '6XX' is not a status such as 200, 2XX or default",
        ),
        (document("{tags: [a], operationId: listThings}"), "a.yaml:4: GET /x: missing field 'responses'"),
        (
            document("{tags: [a], operationId: listThings, responses: {'200': []}}"),
            "a.yaml:4: GET /x: '200' must be a mapping, but is a list",
        ),
        (
            document(OPERATION.replace("operationId: listThings, ", "")),
            "a.yaml:4: GET /x: operationId must be an identifier",
        ),
        (
            document(OPERATION) + f"    post: {OPERATION}\n",
            "a.yaml:5: POST /x: the operationId 'listThings' is already in use by GET /x",
        ),
        (
            document(OPERATION.replace("type: object", "$ref: '#/components/schemas/No'")),
            "a.yaml:4: GET /x: reference .* not found",
        ),
        (
            document(OPERATION) + "components: {schemas: {A: {$ref: b.yaml}}}",
            "a.yaml:5: schemas > A: the reference 'b.yaml' leads to another file",
        ),
        (
            document(OPERATION) + "components: {schemas: {A: {$ref: '#/components/schemas/A'}}}",
            "a.yaml:5: schemas > A: circular reference",
        ),
        (
            document(OPERATION) + "components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}",
            "a.yaml:5: securitySchemes > bearer: securitySchemes > bearer is defined twice, here and in openapi.yaml",
        ),
        (
            document(OPERATION.replace("resp", "security: [{beaer: []}], resp")),
            "a.yaml:4: GET /x: the security scheme 'beaer' is not defined in components.securitySchemes",
        ),
        (
            document(OPERATION.replace("resp", "security: {bearer: []}, resp")),
            "a.yaml:4: GET /x: 'security' must be a list, but is a mapping",
        ),
        (
            document(OPERATION.replace("resp", "x-scope: [a], resp")),
            "a.yaml:4: GET /x: unknown field 'x-scope'; did you mean 'x-scopes'",
        ),
        (
            document(OPERATION.replace("resp", "x-body-byte: 9, resp")),
            "unknown field 'x-body-byte'; did you mean 'x-body-bytes'",
        ),
        (
            document(OPERATION.replace("description: ''", "description: '', links: {a: {operationId: getNot}}")),
            "a.yaml:4: GET /x: operation of the link 'a' not found",
        ),
        (document(OPERATION.replace("resp", "summry: x, resp")), "unknown field 'summry'; did you mean 'summary'"),
        (
            PARTS.replace("maxLength: 5", "maxLenght: 5"),
            "a.yaml:51: schemas > Word > maxLenght: unknown field 'maxLenght'; did you mean 'maxLength'",
        ),
        (
            PARTS.replace("maxLength: 5", "pattern: '(a'"),
            r"the pattern '\(a' is not a regular expression of ECMA-262: Unbalanced parenthesis",
        ),
        (
            document(OPERATION.replace("resp", "x-scopes: [a], resp")),
            "a.yaml:4: GET /x: x-scopes requires a token, but security",
        ),
        *(
            (
                document(OPERATION.replace("resp", f"security: [{{bearer: []}}], x-scopes: {scopes}, resp")),
                "x-scopes must be a list",
            )
            for scopes in ("a", "[]", "['a b']", "[1]", "[[a]]", "{a: 1}")
        ),
        *(
            (
                document(OPERATION.replace("resp", f"requestBody: {REQUEST_BODY}, x-body-bytes: {size}, resp")),
                "x-body-bytes must be",
            )
            for size in (0, -1, "1.0", "true", "'9'", 2**24 + 1, "[]")
        ),
        (
            document(OPERATION.replace("resp", "x-body-bytes: 9, resp")),
            "x-body-bytes must be an integer from 1 to 16777216 and needs a requestBody",
        ),
        (
            document(OPERATION.replace("description: '', ", "")),
            "a.yaml:4: GET /x: missing field 'description'",
        ),
        (
            document(OPERATION.replace("resp", "parameters: {a: 1}, resp")),
            "a.yaml:4: GET /x: 'parameters' must be a list, but is a mapping",
        ),
        (document_with_parameters(WORD, WORD), "a.yaml:4: GET /x: duplicate parameter 'word'"),
        (document_with_parameters("{name: word, in: query}"), "GET /x: either schema or content is required"),
        (
            document_with_parameters(WORD, WORD.replace("word", "'wo-rd'"), WORD.replace("word", "wo_rd")),
            "a.yaml:4: GET /x: the parameters 'wo-rd' and 'wo_rd' have the same name in Python",
        ),
        (
            document_with_parameters(WORD, address="/x/{word}"),
            "a.yaml:4: GET /x/{word}: path parameters and {placeholders} must match",
        ),
        (
            document_with_parameters("{name: word, in: query, content: {application/xml: {schema: {type: string}}}}"),
            "a.yaml:4: GET /x: the parameter 'word' must be JSON or text/plain, not application/xml",
        ),
        (
            document_with_parameters("{name: word, in: query, schema: {type: string, format: date, default: x}}"),
            "a.yaml:4: GET /x: the default of the parameter 'word' does not match its schema",
        ),
        (
            PARTS.replace("date-time", "date-tme"),
            "schemas > Thing > properties > at > format: unknown format 'date-tme'; did you mean 'date-time'",
        ),
        (
            document_with_parameters(WORD.replace("word", "names")),
            "a.yaml:4: GET /x: name already in use by a resource: names",
        ),
        (
            document(OPERATION.replace("listThings", "findThing")),
            "a.yaml:4: GET /x: made/a.py has no function find_thing",
        ),
    ],
)
def test_invalid_contracts_are_rejected_at_startup(engine: Engine, text: str, message: str) -> None:
    engine.resources = {"names": 1}
    engine.write(text)
    with pytest.raises(ContractError, match=message.replace("{", r"\{")):
        engine.start()


def test_the_shared_file_is_checked_too(engine: Engine) -> None:
    for text, message in (
        (SHARED.replace("info:", "# "), "openapi.yaml:1: missing field 'info'"),
        (SHARED.replace("paths: {}", "paths: {/x: {}}"), "openapi.yaml:5: paths must be {}"),
    ):
        engine.write(text, "openapi.yaml")
        with pytest.raises(ContractError, match=message):
            engine.start()
    (engine.folder / "openapi.yaml").unlink()
    with pytest.raises(ContractError, match=r"openapi.yaml: cannot be read: No such file"):
        engine.start()


def test_operations_keep_the_order_of_the_document(engine: Engine) -> None:
    methods = ["put", "delete", "post", "get", "patch"]
    operations = "".join(f"    {method}: {{tags: [a], operationId: {method}It, {ECHO}}}\n" for method in methods)
    engine.write(f"tags: [{{name: a}}]\npaths:\n  /it:\n{operations}")
    assert [operation.method for operation in contract.load(engine.folder).operations()] == methods


def test_tags_without_a_module_are_rejected(engine: Engine) -> None:
    engine.write(document(OPERATION).replace("name: a", "name: b").replace("[a]", "[b]"), "b.yaml")
    engine.write(PARTS.replace("listThings", "listThings2"))
    engine.handlers.list_things2 = list_things  # type: ignore[attr-defined]
    with pytest.raises(ContractError, match=r"b.yaml:4: GET /x: made/b\.py not found"):
        engine.start()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import made.nothing", "No module named 'made.nothing'"),
        ("from api.errors import Nothing", "cannot import name 'Nothing' from 'api.errors'"),
        ("def list_things(:", "SyntaxError: invalid syntax"),
        ("nothing.x = 1", "NameError: name 'nothing' is not defined"),
    ],
)
def test_a_handler_that_cannot_be_imported_is_named_with_the_line(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, line: str, reason: str
) -> None:
    file = tmp_path_factory.mktemp("handlers") / "b.py"
    file.write_text(f'"""A handler."""\n\n{line}\n')
    monkeypatch.setattr(sys.modules["made"], "__path__", [str(file.parent)], raising=False)
    text = document(OPERATION.replace("listThings", "readIt")) + f"    post: {OPERATION}\n".replace(
        "listThings", "addIt"
    )
    engine.write(text.replace("name: a", "name: b").replace("[a]", "[b]"), "b.yaml")
    with pytest.raises(ContractError) as raised:
        engine.start()
    # Two operations have the same module.
    assert len(raised.value.faults) == 1
    assert str(raised.value).startswith(f"b.yaml:4: GET /x: made/b.py cannot be imported: {reason}")
    assert str(raised.value).endswith(f"; see {file}, line 3")


def test_a_misspelled_handler_suggests_a_function_of_the_module(engine: Engine) -> None:
    engine.write(PARTS.replace("listThings", "listThing"))
    with pytest.raises(ContractError, match=r"made/a\.py has no function list_thing; did you mean list_things\?$"):
        engine.start()


def test_unknown_parameters_of_a_handler_suggest_the_allowed_names(engine: Engine) -> None:
    def misspelled(wrod: str, flag: bool) -> None: ...

    def singular(cursor: object) -> None: ...

    def strange(foo: str, bar: str) -> None: ...

    engine.resources = {"cursors": None}
    start = "a.yaml:19: GET /query: unknown parameters of the handler: "
    for handler, message in (
        (misspelled, "wrod in {file}; did you mean word?"),
        (singular, "cursor in {file}; did you mean cursors?"),
        (strange, "bar, foo in {file}; it can take client, cursors, db, flag, media_type, number, word"),
    ):
        engine.handlers.echo_query = handler  # type: ignore[attr-defined]
        with pytest.raises(ContractError) as raised:
            engine.start()
        assert str(raised.value) == start + message.format(file="tests/contract/test_loading.py")


def test_the_parameters_that_a_handler_ignores_are_listed(engine: Engine) -> None:
    def partial(number: int, flag: bool) -> None: ...

    def complete(number: int, flag: bool, the_word: str) -> None: ...

    def with_body(body: object) -> None: ...

    text = PARTS.replace("operationId: addThing", f"operationId: addThing\n      requestBody: {REQUEST_BODY}")
    engine.write(text.replace("name: word, in: query, schema", "name: the-word, in: query, schema"))
    engine.handlers.echo_query = partial  # type: ignore[attr-defined]
    loaded = contract.load(engine.folder)
    assert list(map(str, contract.ignored_arguments(loaded, "made"))) == [
        "a.yaml:19: GET /query: the handler ignores the query parameter 'the-word'; it must take the_word",
        "a.yaml:43: POST /things: the handler ignores the request body; it must take body",
    ]
    engine.handlers.echo_query = complete  # type: ignore[attr-defined]
    engine.handlers.add_thing = with_body  # type: ignore[attr-defined]
    assert contract.ignored_arguments(loaded, "made") == []


def test_an_error_of_a_handler_is_not_logged_by_connexion(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    del engine.handlers.list_things
    with pytest.raises(ContractError, match="has no function list_things"):
        engine.start()
    assert [record.getMessage() for record in caplog.records] == []


def test_handlers_with_unknown_parameters_are_rejected(engine: Engine) -> None:
    for handler in (lambda word: word, lambda body: body, lambda identity: identity):
        engine.handlers.list_things = handler  # type: ignore[attr-defined]
        with pytest.raises(ContractError, match=r"a\.yaml:34: GET /things: unknown parameters of the handler: "):
            engine.start()

"""Finding the operation of a request: placeholders, methods and servers."""

import pytest

from api import contract
from api.contract import ContractError
from tests.support.engine import ECHO, SHARED, Engine, document

PATHS = [
    "/files/{name}.{ext}",
    "/users/{id}:activate",
    "/users/{id}",
    "/range/{low}-{high}",
    "/users/me",
    "/v{major}/x",
]


def serve(engine: Engine, paths: list[str]) -> None:
    """Serve GET for these paths. The response names the path and the parameters."""
    items = []
    for number, path in enumerate(paths):
        names = [part.partition("}")[0] for part in path.split("{")[1:]]
        parameters = ", ".join(
            f"{{name: {name}, in: path, required: true, schema: {{type: string}}}}" for name in names
        )
        items.append(
            f"  '{path}':\n    get: {{tags: [a], operationId: get{number}, parameters: [{parameters}], {ECHO}}}\n"
        )
        body = f"lambda {', '.join(names)}: {{'path': path, **locals()}}"
        setattr(engine.handlers, f"get{number}", eval(body, {"path": path}))  # noqa: S307 - made above
    engine.write("tags: [{name: a}]\npaths:\n" + "".join(items))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/files/a.txt", ("/files/{name}.{ext}", {"name": "a", "ext": "txt"})),
        ("/files/a.tar.gz", ("/files/{name}.{ext}", {"name": "a.tar", "ext": "gz"})),
        ("/files/a%2Etxt", ("/files/{name}.{ext}", {"name": "a", "ext": "txt"})),
        ("/users/5:activate", ("/users/{id}:activate", {"id": "5"})),
        ("/users/5", ("/users/{id}", {"id": "5"})),
        ("/users/me", ("/users/me", {})),
        ("/range/1-2-3", ("/range/{low}-{high}", {"low": "1-2", "high": "3"})),
        ("/range/--1", ("/range/{low}-{high}", {"low": "-", "high": "1"})),
        ("/v12/x", ("/v{major}/x", {"major": "12"})),
    ],
)
def test_placeholders_may_be_inside_of_a_segment(engine: Engine, path: str, found: tuple[str, dict[str, str]]) -> None:
    serve(engine, PATHS)
    response = engine.request(path)
    assert (response.status_code, response.json()) == (200, {"path": found[0], **found[1]})


@pytest.mark.parametrize(
    "path", ["/files/.txt", "/files/a.", "/files/a", "/range/-1", "/range/1-", "/v/x", "/files/a%2F.b"]
)
def test_placeholders_are_never_empty(engine: Engine, path: str) -> None:
    serve(engine, PATHS)
    assert engine.request(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/users/5:activate", "/users/{id}:activate"),
        ("/users/5", "/users/{id}"),
        ("/users/m%65", "/users/me"),
        ("/others/me", "/{any}/me"),
    ],
)
def test_the_most_concrete_path_is_found_in_any_order(engine: Engine, path: str, found: str) -> None:
    paths = ["/{any}/me", "/users/{id}", "/users/{id}:activate", "/users/me"]
    for order in (paths, paths[::-1]):
        serve(engine, order)
        assert engine.request(path).json()["path"] == found


def test_adjacent_placeholders_are_rejected(engine: Engine) -> None:
    serve(engine, ["/x/{a}{b}"])
    with pytest.raises(ContractError, match="a text must separate two placeholders"):
        engine.start()


def test_methods_of_one_path_may_name_placeholders_differently(engine: Engine) -> None:
    parts = [
        f"  /h/{{{name}}}:\n    {method}: {{tags: [a], operationId: {method}Thing, parameters: "
        f"[{{name: {name}, in: path, required: true, schema: {{type: string}}}}], {ECHO}}}\n"
        for method, name in (("get", "id"), ("delete", "slug"))
    ]
    engine.write("tags: [{name: a}]\npaths:\n" + "".join(parts))
    engine.handlers.get_thing = lambda id: {"id": id}  # type: ignore[attr-defined]  # noqa: A006 - the name in the path
    engine.handlers.delete_thing = lambda slug: {"slug": slug}  # type: ignore[attr-defined]
    assert engine.request("/h/1").json() == {"id": "1"}
    assert engine.request("/h/1", "DELETE").json() == {"slug": "1"}
    response = engine.request("/h/1", "PUT")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, HEAD")


@pytest.mark.parametrize(
    ("servers", "prefix"),
    [
        ("[{url: /api/v2}]", "/api/v2"),
        ("[{url: /api/v2/}, {url: /other}]", "/api/v2"),
        ("[{url: 'https://example.com/v2'}]", "/v2"),
        ("[{url: 'https://example.com'}]", ""),
        ("[{url: v2}]", "/v2"),
        ("[{url: '//example.com/{name}', variables: {name: {default: v3}}}]", "/v3"),
        ("[{url: /a%20b}]", "/a%20b"),
    ],
)
def test_the_path_of_the_first_server_is_the_prefix(engine: Engine, servers: str, prefix: str) -> None:
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}servers: {servers}\n")
    serve(engine, ["/x", "/h/{id}"])
    assert engine.request(f"{prefix}/x").json() == {"path": "/x"}
    assert engine.request(f"{prefix}/h/1").json() == {"path": "/h/{id}", "id": "1"}
    assert engine.request(f"{prefix}/docs").status_code == 200
    if prefix:
        for path in ("/x", "/h/1", "/docs", f"{prefix}{prefix}/x"):
            response = engine.request(path)
            assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")


def test_operations_may_have_their_own_servers(engine: Engine) -> None:
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}servers: [{{url: /api}}]\n")
    engine.write(document(f"{{tags: [a], operationId: listThings, servers: [{{url: /}}], {ECHO}}}"))
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    assert engine.request("/x").status_code == 200
    assert engine.request("/api/x").status_code == 404


def test_paths_may_have_their_own_servers(engine: Engine) -> None:
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}servers: [{{url: /api}}]\n")
    engine.write(document(f"{{tags: [a], operationId: listThings, {ECHO}}}") + "    servers: [{url: /own}]\n")
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    assert engine.request("/own/x").status_code == 200
    assert engine.request("/api/x").status_code == 404


def test_variables_of_servers_need_a_default(engine: Engine) -> None:
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}servers: [{{url: '/{{name}}'}}]\n")
    with pytest.raises(ContractError, match="the URL of the server has a variable without a default"):
        engine.start()


def test_two_operations_cannot_share_method_and_path(engine: Engine) -> None:
    serve(engine, ["/h/{a}", "/h/{b}"])
    with pytest.raises(ContractError, match="get1 and get0 have the same method and path"):
        engine.start()


@pytest.mark.parametrize(
    ("public_url", "url"), [("", "https://example.com/{name}"), ("https://a.example/auth", "https://a.example/auth/v3")]
)
def test_the_public_url_comes_before_the_prefix(engine: Engine, public_url: str, url: str) -> None:
    variables = "variables: {name: {default: v3}}"
    (engine.folder / "openapi.yaml").write_text(
        f"{SHARED}servers: [{{url: 'https://example.com/{{name}}', {variables}}}]\n"
    )
    assert contract.published(contract.load(engine.folder), public_url)["servers"][0]["url"] == url


def test_shared_paths_may_have_their_own_servers(engine: Engine) -> None:
    item = f"{{servers: [{{url: /own}}], get: {{tags: [a], operationId: listThings, {ECHO}}}}}"
    (engine.folder / "openapi.yaml").write_text(SHARED.replace("3.0.3", "3.1.0"))
    text = "tags: [{name: a}]\npaths: {/x: {$ref: '#/components/pathItems/X'}}\n"
    engine.write(f"{text}components: {{pathItems: {{X: {item}}}}}\n")
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    assert engine.request("/own/x").status_code == 200

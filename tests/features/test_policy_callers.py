"""The requests of the policy tests for operations that Charter does not have: bytes, links without a body, examples."""

from functools import partial

import httpx
import pytest
import yaml
from starlette.testclient import TestClient

from api.config import Config
from api.contract import Contract
from api.storage.database import Database
from tests.support import callers, own
from tests.support.callers import OWNER, Callers
from tests.support.databases import on_sqlite

PROJECTS = """
components:
  examples:
    Garden: {value: {name: Garden}}
paths:
  /projects:
    post:
      operationId: createProject
      requestBody:
        content: {application/json: {examples: {garden: {$ref: '#/components/examples/Garden'}}}}
      responses:
        '201': {links: {putIcon: {operationId: putIcon, parameters: {project_id: '$response.body#/id'}}}}
  /projects/{project_id}/icon:
    put:
      operationId: putIcon
      requestBody:
        content: {image/png: {schema: {type: string, format: binary}}}
      responses:
        '204': {links: {getIcon: {operationId: getIcon, parameters: {project_id: $request.path.project_id}}}}
    get:
      operationId: getIcon
      responses: {'200': {}}
"""


def responded(requests: list[httpx.Request], request: httpx.Request) -> httpx.Response:
    requests.append(request)
    return httpx.Response(204) if request.method == "PUT" else httpx.Response(201, json={"id": "7"})


@on_sqlite
def test_links_examples_and_bytes_of_own_operations_are_sent(
    client: TestClient, config: Config, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = Callers(client, config, database)
    monkeypatch.setattr(
        callers, "OPERATIONS", {each.id: each for each in Contract(yaml.safe_load(PROJECTS)).operations()}
    )
    monkeypatch.setattr(own, "BODIES", {"putIcon": b"\x89PNG"})
    requests: list[httpx.Request] = []
    transport = httpx.MockTransport(partial(responded, requests))
    with httpx.Client(transport=transport, base_url="http://charter.test") as other:
        monkeypatch.setattr(caller, "client", other)
        caller.call("getIcon", OWNER)
    assert [(sent.method, sent.url.path, sent.headers.get("content-type"), sent.content) for sent in requests] == [
        ("POST", "/projects", "application/json", b'{"name":"Garden"}'),
        ("PUT", "/projects/7/icon", "image/png", b"\x89PNG"),
        ("GET", "/projects/7/icon", None, b""),
    ]

"""The example of an upload in docs/requests.md."""

import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from shutil import copytree
from types import ModuleType
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api import app as charter
from api import contract, services
from api.config import Config
from api.config.paths import resource_dir
from api.errors import NotFound
from tests.support.person import newcomer
from tests.support.problems import assert_problem
from tests.support.readme import blocks

PATH = "/api/v1/me/icon"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def service() -> ModuleType:
    """Return the service of the example, which keeps the icons in memory."""
    module, icons = ModuleType("api.services.icons"), dict[UUID, bytes]()

    def find(_: object, user_id: UUID) -> bytes:
        if user_id not in icons:
            raise NotFound()
        return icons[user_id]

    vars(module).update(find=find, replace=lambda _, user_id, data: icons.update({user_id: data}))
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the contract of Charter and that of the example."""
    yaml, _ = blocks("docs/requests.md", "Bodies")
    folder = copytree(resource_dir("openapi"), tmp_path / "openapi")
    (folder / "icons.yaml").write_text(yaml.text)
    return folder


@pytest.fixture
def client(sqlite_config: Config, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A client of Charter with the example."""
    _, python = blocks("docs/requests.md", "Bodies")
    file = tmp_path / "icons.py"
    file.write_text(python.text)
    monkeypatch.setattr(charter, "resource_dir", lambda _: folder)
    monkeypatch.setattr(services, "icons", service(), raising=False)
    spec = spec_from_file_location("api.handlers.icons", file)
    assert spec is not None
    assert spec.loader is not None
    handlers = module_from_spec(spec)
    spec.loader.exec_module(handlers)
    monkeypatch.setitem(sys.modules, spec.name, handlers)
    return TestClient(charter.create_app(replace(sqlite_config, check_answers="report")))


def test_the_documented_upload_works(client: TestClient) -> None:
    with client:
        alice = newcomer(client, "alice")
        assert_problem(alice.get(PATH), 404, "NOT_FOUND")
        headers = alice.headers | {"Content-Type": "image/png"}
        assert client.put(PATH, headers=headers, content=PNG).status_code == 204
        icon = alice.get(PATH)
        assert (icon.status_code, icon.headers["content-type"], icon.content) == (200, "image/png", PNG)
        wrong = client.put(PATH, headers=headers, content=b"GIF89a")
        assert_problem(wrong, 400, "INVALID_INPUT")
        fault = {"pointer": "/body", "code": "WRONG_FORMAT", "detail": "Must be a PNG image."}
        assert wrong.json()["errors"] == [fault]
        assert_problem(client.put(PATH, headers=headers, content=bytes(65_537)), 413, "BODY_TOO_LARGE")
        assert_problem(alice.put(PATH, content=PNG), 415, "UNSUPPORTED_MEDIA_TYPE")
        assert alice.get(PATH).content == PNG


def test_the_documented_upload_keeps_the_rules_for_contracts(folder: Path) -> None:
    loaded = contract.load(folder)
    assert contract.broken_rules(loaded, charter.formats(loaded.title), administrator="admin") == []

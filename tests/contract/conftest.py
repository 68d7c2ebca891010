"""The engine fixture of the contract tests."""

from pathlib import Path

import pytest

from tests.support.engine import Engine


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An application with its own small contract and handlers."""
    folder = tmp_path / "openapi"
    folder.mkdir()
    return Engine(folder, monkeypatch)

"""A contract with every construct passes a long run of Schemathesis with a random seed."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.echoing import Everything

# With these, a run takes about a minute.
EXAMPLES = 60


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_every_construct_passes_a_long_run_of_schemathesis(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    seed = secrets.randbelow(2**32)
    record_property("replay", f"the seed {seed}")
    Everything(version, tmp_path, monkeypatch).fuzz(tmp_path, EXAMPLES, seed)

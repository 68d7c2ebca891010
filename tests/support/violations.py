"""Collect the contract violations that the response validation reports."""

import logging
from typing import Any


class Violations(logging.Handler):
    """What the outermost layer reported of answers that break the contract."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(vars(record)["facts"])

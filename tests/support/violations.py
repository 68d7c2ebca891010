"""Collect the contract violations that the response validation reports."""

import logging
from typing import Any


class Violations(logging.Handler):
    """A log handler that collects the reports about responses that violate the contract."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(vars(record)["facts"])

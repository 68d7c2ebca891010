"""The result of a check."""

from enum import StrEnum
from functools import partial
from typing import NamedTuple


class Verdict(StrEnum):
    """OK, unusual (a warning), or a problem that keeps the service from working correctly."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(NamedTuple):
    """The result of one check, with advice unless the verdict is ok."""

    verdict: Verdict
    subject: str
    detail: str


ok, warning, error = (partial(Finding, verdict) for verdict in Verdict)

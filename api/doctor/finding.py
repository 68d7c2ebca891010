"""What the doctor finds."""

from enum import StrEnum
from functools import partial
from typing import NamedTuple


class Verdict(StrEnum):
    """Whether all is well, something is odd, or the service cannot do its work as it should."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(NamedTuple):
    """What was found of one thing, and what to do unless it is ok."""

    verdict: Verdict
    subject: str
    detail: str


ok, warning, wrong = (partial(Finding, verdict) for verdict in Verdict)

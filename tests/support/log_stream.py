"""A stream that receives the log of a test."""

import io
import json
import logging
from collections.abc import Callable
from typing import Any

Configure = Callable[[str], io.StringIO]


class LogStream(io.StringIO):
    """A stream that flushes the buffers of the log before it is read."""

    def getvalue(self) -> str:
        for handler in logging.root.handlers:
            handler.flush()
        return super().getvalue()


def lines(log: io.StringIO, logger: str = "") -> list[dict[str, Any]]:
    """Return the lines of one logger of Charter, or of all its loggers."""
    return [
        line for line in map(json.loads, log.getvalue().splitlines()) if line["logger"].startswith(f"charter.{logger}")
    ]

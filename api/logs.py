"""The log: one line per request and per authentication event, as text on a terminal and as JSON elsewhere."""

import asyncio
import json
import logging
import sys
import textwrap
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from select import PIPE_BUF
from threading import Lock
from typing import Any, TextIO

import orjson

from api import clock

request_context: ContextVar[dict[str, Any] | None] = ContextVar("request_facts", default=None)
"""The facts of the current request: request_id and address at first, then the facts added by its handling."""

_TOGETHER_SECONDS = 0.01

_events = logging.getLogger("charter.events")
_requests = logging.getLogger("charter.requests")
_encode = json.JSONEncoder(default=str).encode
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) != "\n"}


def event(name: str, **facts: Any) -> None:
    """Log an authentication event with the facts of its request. Facts are ids and reasons, never secrets."""
    if (lines := _lines()) is not None:
        # `logging` takes three times as long for a line (27 us).
        lines.write(clock.now(), "info", "charter.events", name, (request_context.get() or {}) | facts)
    else:
        _events.info(name, extra={"facts": facts})


def bind(**facts: Any) -> None:
    """Add facts to all later log lines of the current request."""
    known = request_context.get()
    if known is not None:
        known.update(facts)


def request(**facts: Any) -> None:
    """Log a request that has been served, as an event of `charter.requests`."""
    if (lines := _lines()) is not None:
        lines.write_batched(clock.now(), "info", "charter.requests", "request", (request_context.get() or {}) | facts)
    else:
        _requests.info("request", extra={"facts": facts})


def _lines() -> "LineHandler | None":
    """Return our own handler if it is the only one, as in a server."""
    handlers = logging.root.handlers
    return handlers[0] if len(handlers) == 1 and isinstance(handlers[0], LineHandler) else None


def configure(form: str, stream: TextIO = sys.stderr) -> None:
    """Send all logs to `stream` as `text` or `json`. With `auto`, a terminal gets text and another stream JSON."""
    as_text = form == "text" or (form == "auto" and stream.isatty())
    lines = LineHandler(stream, _as_text if as_text else _as_json)
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)
    for chatty in ("alembic", "connexion", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Connexion logs why a contract cannot be served, but the ContractError that follows gives the reason, too.
    logging.getLogger("connexion.middleware.abstract").setLevel(logging.CRITICAL)
    # uvicorn warns of malformed requests, for which Charter's own line has the client's address and the request id.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)


class LineHandler(logging.Handler):
    """Writes the records of all loggers as unbroken lines, with the facts of the current request."""

    def __init__(self, stream: TextIO, form: "_Form") -> None:
        super().__init__()
        self._stream = stream
        self._form = form
        self._turn = Lock()
        self._waiting: deque[str] = deque()
        self._due_in: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            facts = {**(request_context.get() or {}), **vars(record).get("facts", {})}
            if record.exc_info:
                facts["exception"] = logging.Formatter().formatException(record.exc_info)
            moment = datetime.fromtimestamp(record.created, UTC)
            self._waiting.append(self._form(moment, record.levelname.lower(), record.name, record.getMessage(), facts))
        except Exception:
            self.handleError(record)
        self.flush()

    def write(self, *said: Any) -> None:
        """Write a line (time, level, logger, event and facts) at once."""
        self._waiting.append(self._form(*said))
        self.flush()

    def write_batched(self, *said: Any) -> None:
        """Write a line (time, level, logger, event and facts) together with the lines of the next 10 milliseconds.

        Writing each line on its own would cost 45 us.
        """
        self._waiting.append(self._form(*said))
        loop = asyncio.get_running_loop()
        if self._due_in is not loop:
            self._due_in = loop
            loop.call_later(_TOGETHER_SECONDS, self._flush_due)

    def _flush_due(self) -> None:
        self._due_in = None
        self.flush()

    def flush(self) -> None:
        """Write the buffered lines. `logging` calls this method when the process exits."""
        try:
            with self._turn:
                for text in _whole_lines([self._waiting.popleft() for _ in range(len(self._waiting))]):
                    self._stream.write(text)
                    self._stream.flush()
        except (OSError, ValueError):
            # A failing log must not fail a request. (contextlib.suppress would cost 0.5 us.)
            pass


def _whole_lines(lines: list[str]) -> Iterator[str]:
    """Yield the lines in blocks that fit into one atomic write, so that workers on the same pipe do not mix lines."""
    text = ""
    for line in lines:
        if text and len(text) + len(line) > PIPE_BUF:
            yield text
            text = ""
        text += line
    yield text


_Form = Callable[[datetime, str, str, str, dict[str, Any]], str]


def _as_json(moment: datetime, level: str, logger: str, event: str, facts: dict[str, Any]) -> str:
    line = {"time": clock.rfc3339(moment), "level": level, "logger": logger, "event": event, **facts}
    return f"{_encode_fast(line) or _encode(line)}\n"


def _encode_fast(line: dict[str, Any]) -> str | None:
    """Encode the line with orjson, in a fifth of the time.

    Return None if orjson cannot encode the line, or if a character in the line could move a terminal's cursor.
    """
    with suppress(orjson.JSONEncodeError):
        text = orjson.dumps(line, default=str).decode()
        return text if text.isascii() and text.isprintable() else None
    return None


def _as_text(moment: datetime, level: str, _logger: str, event: str, facts: dict[str, Any]) -> str:
    time = moment.astimezone().strftime("%H:%M:%S")
    trace = facts.pop("exception", None)
    # JSON escapes CR, LF and ESC, which an untrusted client may have sent.
    pairs = " ".join(f"{name}={_encode(value)}" for name, value in facts.items())
    line = f"{time} {level:7} {_encode(event)[1:-1]} {pairs}".rstrip()
    # An exception may quote untrusted input. Indented, none of its lines can pass for a log line.
    return f"{line}\n" if trace is None else f"{line}\n{textwrap.indent(trace.translate(_ESCAPES), '    ')}\n"

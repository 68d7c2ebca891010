"""The log: one line per request and per authentication event, as text on a terminal and as JSON elsewhere."""

import json
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from queue import SimpleQueue
from select import PIPE_BUF, select
from threading import Event, Thread
from time import sleep
from typing import Any, NamedTuple, TextIO
from uuid import UUID

import orjson

from api import clock

request_context: ContextVar[dict[str, Any] | None] = ContextVar("request_facts", default=None)
"""The facts of the current request: request_id and address at first, then the facts added by its handling."""


class Cause(NamedTuple):
    """The cause of audit events: a request or a process. `request_context` has more facts of the request.

    `actor` is the kind of caller: user, key, service, cli, system or anonymous. `actor_id` is its id, and `user_id` the
    user to whom the credential belongs. `operation` and `user_agent` are those of the request.
    """

    actor: str
    actor_id: UUID | None = None
    user_id: UUID | None = None
    session_id: UUID | None = None
    operation: str | None = None
    user_agent: str = ""


ANONYMOUS = Cause("anonymous")
"""The cause of a request before its caller is known."""

cause: ContextVar[Cause] = ContextVar("cause", default=Cause("system"))  # noqa: B039 - it cannot be changed
"""The cause of the current events. Outside of requests and commands, it is a background task."""

MAX_WAITING = 10_000
"""The number of lines that may wait to be written, a few megabytes."""

# Each batch costs about 0.2 ms, however few lines it has. A process that is killed loses the lines of one batch.
_TOGETHER_SECONDS = 0.05
_FLUSH_SECONDS = 1.0

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
        lines.write(clock.now(), "info", "charter.requests", "request", (request_context.get() or {}) | facts)
    else:
        _requests.info("request", extra={"facts": facts})


def _lines() -> "LineHandler | None":
    """Return our own handler if it is the only one, as in a server."""
    handlers = logging.root.handlers
    return handlers[0] if len(handlers) == 1 and isinstance(handlers[0], LineHandler) else None


def configure(form: str, stream: TextIO = sys.stderr) -> None:
    """Send all logs to `stream` as `text` or `json`. With `auto`, a terminal gets text and another stream JSON."""
    is_terminal = stream.isatty()
    as_text = _as_coloured_text if is_terminal else _as_text
    lines = LineHandler(stream, as_text if form == "text" or (form == "auto" and is_terminal) else _as_json)
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)
    for chatty in ("alembic", "connexion", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # uvicorn warns of malformed requests, for which Charter's own line has the client's address and the request id.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)


class LineHandler(logging.Handler):
    """Writes the records of all loggers as unbroken lines, with the facts of the current request.

    A thread writes the lines, so a stream that accepts nothing delays no request. Of the lines that wait for it, those
    over a limit are dropped, and a later line reports their number.
    """

    def __init__(self, stream: TextIO, form: "_Form") -> None:
        super().__init__()
        self._form = form
        self._sink = _sink(stream)
        # A signal handler may log while the main thread does. This queue is the only one that allows that.
        self._waiting: SimpleQueue[str | Event | None] = SimpleQueue()
        self._dropped = 0
        self._reported = 0
        Thread(target=self._keep_writing, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            facts = {**(request_context.get() or {}), **vars(record).get("facts", {})}
            if record.exc_info:
                facts["exception"] = logging.Formatter().formatException(record.exc_info)
            moment = datetime.fromtimestamp(record.created, UTC)
            self.write(moment, record.levelname.lower(), record.name, record.getMessage(), facts)
        except Exception:
            self.handleError(record)

    def write(self, *parts: Any) -> None:
        """Write a line (time, level, logger, event and facts) soon, together with others."""
        if self._waiting.qsize() < MAX_WAITING:
            self._waiting.put(self._form(*parts))
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Wait until the lines so far are written, at most a second. `logging` calls this when the process exits."""
        written = Event()
        self._waiting.put(written)
        written.wait(_FLUSH_SECONDS)

    def close(self) -> None:
        """End the thread, after the lines so far."""
        self._waiting.put(None)
        super().close()

    def _keep_writing(self) -> None:
        is_open = True
        while is_open:
            batch = [self._waiting.get()]
            # Writing each line on its own would cost 45 us.
            sleep(_TOGETHER_SECONDS)
            # Lines that were dropped until now are newer than the lines that wait.
            dropped = self._dropped
            batch += [self._waiting.get() for _ in range(self._waiting.qsize())]
            self._write([line for line in batch if isinstance(line, str)])
            self._report(dropped)
            for written in batch:
                if isinstance(written, Event):
                    written.set()
            is_open = None not in batch

    def _write(self, lines: list[str]) -> None:
        for block in _blocks(lines):
            try:
                self._sink("".join(block))
            except (OSError, ValueError):
                # A failing log must not fail a request.
                self._dropped += len(block)

    def _report(self, dropped: int) -> None:
        count = dropped - self._reported
        if count:
            with suppress(OSError, ValueError):
                self._sink(self._form(clock.now(), "error", "charter.logs", "lines_dropped", {"count": count}))
                self._reported = dropped


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Yield the lines in blocks that fit into one atomic write, so that workers on the same pipe do not mix lines."""
    block: list[str] = []
    size = 0
    for line in lines:
        if block and size + len(line) > PIPE_BUF:
            yield block
            block, size = [], 0
        block.append(line)
        size += len(line)
    if block:
        yield block


def _sink(stream: TextIO) -> Callable[[str], object]:
    """Return a function that writes to the stream without its buffer.

    The interpreter flushes the buffer when it exits, and aborts if a thread is still writing to it.
    """
    try:
        stream.fileno()
    except (OSError, ValueError):
        return stream.write
    return partial(_write_all, stream)


def _write_all(stream: TextIO, text: str) -> None:
    # A closed stream raises here. Its descriptor may belong to another file by now.
    descriptor = stream.fileno()
    data = text.encode(errors="backslashreplace")
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            # Another process has set the stream to non-blocking.
            select([], [descriptor], [])


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
    return "".join(text for text, _ in _parts(moment, level, event, facts))


def _as_coloured_text(moment: datetime, level: str, _logger: str, event: str, facts: dict[str, Any]) -> str:
    return "".join(
        f"\x1b[{colour}m{text}\x1b[0m" if colour else text for text, colour in _parts(moment, level, event, facts)
    )


_DIM, _RED, _GREEN, _YELLOW = "2", "31", "32", "33"
_LEVELS = {"warning": _YELLOW, "error": _RED, "critical": _RED}
_STATUSES = {2: _GREEN, 4: _YELLOW, 5: _RED}


def _parts(moment: datetime, level: str, event: str, facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parts of a line for a terminal of 80 columns, and the colour of each."""
    facts = facts.copy()
    yield moment.astimezone().strftime("%H:%M:%S"), _DIM
    trace = facts.pop("exception", None)
    request_id = facts.pop("request_id", None)
    if level != "info":
        yield f" {level}", _LEVELS.get(level, "")
    if event == "request":
        yield from _request_parts(facts)
    else:
        yield f" {_escape(event)}", _LEVELS.get(level, "")
    for name, value in facts.items():
        yield f" {name}={_encode(value)}", ""
    if request_id is not None:
        yield f" id={_shorten(request_id)}", _DIM
    # An exception may quote untrusted input. Indented, none of its lines can pass for a log line.
    yield "\n" if trace is None else f"\n{textwrap.indent(trace.translate(_ESCAPES), '    ')}\n", ""


def _request_parts(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parts of a request that its reader looks for, and remove them from the facts."""
    facts.pop("address", None)
    status = facts.pop("status", None)
    # A response that never began has no status.
    yield f" {status or '---'}", _STATUSES.get(status // 100, "") if status else _RED
    if "method" in facts:
        # A space in the path would separate it from the rest of the line.
        yield f" {_escape(facts.pop('method'))} {_escape(facts.pop('path')).replace(' ', '%20')}", ""
    if "ms" in facts:
        yield f" {facts.pop('ms')} ms", _DIM
    if "code" in facts:
        yield f" {facts.pop('code')}", _YELLOW
    if "user_id" in facts:
        yield f" user={_shorten(facts.pop('user_id'))}", _DIM


def _shorten(id_: str) -> str:
    """Return the last characters of an id, which are random, and enough to find other lines with it."""
    return f"...{id_[-6:]}"


def _escape(text: str) -> str:
    """Escape CR, LF and ESC, which an untrusted client may have sent."""
    return _encode(text)[1:-1]

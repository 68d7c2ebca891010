"""One line per request and per authentication event: text on a terminal, JSON elsewhere."""

import json
import logging
import sys
import textwrap
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from api import clock

request_facts: ContextVar[dict[str, Any] | None] = ContextVar("request_facts", default=None)
"""What is known of the request being served: request_id and address at first, then what its handling adds."""

_events = logging.getLogger("charter.events")
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) != "\n"}


def event(name: str, **facts: Any) -> None:
    """Write one authentication event, with the request it belongs to. Facts are ids and reasons, never secrets."""
    _events.info(name, extra={"facts": facts})


def note(**facts: Any) -> None:
    """Add facts to all lines of the request being served."""
    known = request_facts.get()
    if known is not None:
        known.update(facts)


def configure(form: str, stream: TextIO = sys.stderr) -> None:
    """Send all logs to `stream` as `text`, `json`, or what suits the stream (`auto`)."""
    as_text = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_TextFormatter() if as_text else _JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("alembic", "connexion", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Why a contract cannot be served, the ContractError says that it raises next.
    logging.getLogger("connexion.middleware.abstract").setLevel(logging.CRITICAL)
    # What it warns of, strangers write: our own line has their address and the request's id.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)


def _facts(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, Any]:
    facts = {**(request_facts.get() or {}), **getattr(record, "facts", {})}
    if record.exc_info:
        facts["exception"] = formatter.formatException(record.exc_info)
    return facts


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": clock.rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_facts(record, self),
        }
        return json.dumps(line, default=str)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        facts = _facts(record, self)
        trace = facts.pop("exception", None)
        # json.dumps keeps CR, LF and ESC, which a stranger may have sent, inside the line.
        pairs = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in facts.items())
        line = f"{time} {record.levelname.lower():7} {json.dumps(record.getMessage())[1:-1]} {pairs}".rstrip()
        # Indented, no line of an exception's text, which may quote a stranger, passes for a line of this log.
        return line if trace is None else f"{line}\n{textwrap.indent(trace.translate(_ESCAPES), '    ')}"

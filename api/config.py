"""All settings, and the only reader of the environment."""

import base64
import binascii
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_PACKAGE = Path(__file__).parent
_NEW_SECRET = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"  # noqa: S105 - a command that makes one
_WELL_KNOWN = frozenset(
    {
        # The example keys of FastAPI's tutorial, of jwt.io, and the alphabet in its usual order.
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "a-string-secret-at-least-256-bits-long",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    }
)


def folder(name: str) -> Path:
    """The folder `name`: inside the package when it was installed as a wheel, beside it in a checkout."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


class ConfigError(Exception):
    """A setting the process must not start with; the message says what to do."""


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return parse


def _database_url(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        raise ValueError("a database URL such as postgresql://user:password@host/name") from None
    if url.drivername in {"postgres", "postgresql"}:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError("a database that outlives the process: SQLite needs a file")
    return url


def _secret(text: str) -> bytes:
    """At least 256 bits of chance, in base64url or hexadecimal; a secret that others know is refused."""
    wanted = f"at least 256 bits of chance; make one with: {_NEW_SECRET}"
    if text in _WELL_KNOWN:
        raise ValueError(f"a secret that nobody else knows: {wanted}")
    try:
        key = bytes.fromhex(text) if len(text) >= 64 and _is_hex(text) else _base64url(text)
    except binascii.Error:
        raise ValueError(wanted) from None
    if len(key) < 32 or len(set(key)) < 16:
        raise ValueError(wanted)
    return key


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)


def _base64url(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _setting(variable: str, parse: Callable[[str], Any], **options: Any) -> Any:
    return field(metadata={"variable": variable, "parse": parse}, **options)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that can be set. `load` reads it from the environment; tests build their own."""

    host: str = _setting("CHARTER_HOST", str, default="127.0.0.1")
    port: int = _setting("CHARTER_PORT", _whole(0, 65535), default=8000)
    data_dir: Path = _setting("CHARTER_DATA_DIR", Path, default=Path("data"))
    database_url: URL = _setting("DATABASE_URL", _database_url)
    secret: bytes = _setting("CHARTER_SECRET", _secret, repr=False)
    pepper: bytes = _setting("CHARTER_PEPPER", _secret, repr=False)
    issuer: str = _setting("CHARTER_ISSUER", str, default="http://127.0.0.1:8000")
    audience: str = _setting("CHARTER_AUDIENCE", str, default="charter")
    access_token_seconds: int = _setting("CHARTER_ACCESS_TOKEN_SECONDS", _whole(60, 86_400), default=900)
    bcrypt_cost: int = _setting("CHARTER_BCRYPT_COST", _whole(10, 16), default=12)
    body_bytes: int = _setting("CHARTER_BODY_BYTES", _whole(1024, 16 * 1024 * 1024), default=65_536)
    body_seconds: int = _setting("CHARTER_BODY_SECONDS", _whole(1, 60), default=10)
    log_format: str = _setting("CHARTER_LOG_FORMAT", _one_of("auto", "text", "json"), default="auto")

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file of this host."""
        return self.database_url.get_backend_name() == "sqlite"


def variable(setting: "Field[Any]") -> str:
    """The environment variable that holds a setting."""
    return str(setting.metadata["variable"])


def load(environ: Mapping[str, str] = os.environ) -> Config:
    """Read the settings; what an embedded database needs and nobody set is made in the data folder.

    Raises ConfigError that lists every wrong setting at once.
    """
    values: dict[str, Any] = {}
    wrong = []
    for setting in fields(Config):
        text = environ.get(variable(setting), "").strip()
        if text:
            try:
                values[setting.name] = setting.metadata["parse"](text)
            except ValueError as error:
                wrong.append(f"{variable(setting)} must be {error}")
    if wrong:
        raise ConfigError("\n".join(wrong))
    _fill_in(values)
    return Config(**values)


def _fill_in(values: dict[str, Any]) -> None:
    data_dir = values.setdefault("data_dir", Path("data")).absolute()
    values["data_dir"] = data_dir
    values.setdefault("database_url", URL.create("sqlite", database=str(data_dir / "charter.db")))
    missing = [name for name in ("secret", "pepper") if name not in values]
    if missing and values["database_url"].get_backend_name() != "sqlite":
        names = " and ".join(f"CHARTER_{name.upper()}" for name in missing)
        raise ConfigError(
            f"{names} must be set with a database that several hosts can share; make each with: {_NEW_SECRET}"
        )
    for name in missing:
        values[name] = _secret_file(data_dir / name)


def _secret_file(file: Path) -> bytes:
    """The secret in `file`, made at the first start; only the owner can read it."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _create(file, secrets.token_urlsafe(32))
        return _secret(file.read_text().strip())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read or made: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{file} must hold {error}") from None


def _create(file: Path, text: str) -> None:
    """Write a new file whole or not at all; of two processes that do it at once, the first wins."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()

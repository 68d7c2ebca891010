"""All settings, and the only reader of the environment."""

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from api.secret import HOW_TO, keep_secret, parse_secret

_PACKAGE = Path(__file__).parent
_DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


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
        driver = _DRIVERS[url.drivername]
    except (ArgumentError, KeyError, ValueError):
        # What they say may quote the password.
        raise ValueError("a URL such as postgresql://user:password@host/name or sqlite:////folder/file") from None
    if driver == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError("a database that outlives the process: SQLite needs a file")
    return url.set(drivername=driver)


def _setting(variable: str, parse: Callable[[str], Any], **options: Any) -> Any:
    return field(metadata={"variable": variable, "parse": parse}, **options)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that can be set. `load` reads it from the environment; tests build their own."""

    host: str = _setting("CHARTER_HOST", str, default="127.0.0.1")
    port: int = _setting("CHARTER_PORT", _whole(0, 65535), default=8000)
    data_dir: Path = _setting("CHARTER_DATA_DIR", Path, default=Path("data"))
    database_url: URL = _setting("DATABASE_URL", _database_url)
    secret: bytes = _setting("CHARTER_SECRET", parse_secret, repr=False)
    pepper: bytes = _setting("CHARTER_PEPPER", parse_secret, repr=False)
    issuer: str = _setting("CHARTER_ISSUER", str, default="http://127.0.0.1:8000")
    audience: str = _setting("CHARTER_AUDIENCE", str, default="charter")
    access_token_seconds: int = _setting("CHARTER_ACCESS_TOKEN_SECONDS", _whole(60, 86_400), default=900)
    bcrypt_cost: int = _setting("CHARTER_BCRYPT_COST", _whole(10, 16), default=12)
    body_bytes: int = _setting("CHARTER_BODY_BYTES", _whole(1024, 16 * 1024 * 1024), default=65_536)
    body_seconds: int = _setting("CHARTER_BODY_SECONDS", _whole(1, 60), default=10)
    check_answers: str = _setting("CHARTER_CHECK_ANSWERS", _one_of("off", "report"), default="off")
    log_format: str = _setting("CHARTER_LOG_FORMAT", _one_of("auto", "text", "json"), default="auto")


def variable(setting: "Field[Any]") -> str:
    """The environment variable that holds a setting."""
    return str(setting.metadata["variable"])


def load(environ: Mapping[str, str] = os.environ) -> Config:
    """Read the settings; what an embedded database needs and nobody set is made in the data folder.

    Raises ConfigError that lists every wrong setting at once.
    """
    given = {setting.name: environ.get(variable(setting), "").strip() for setting in fields(Config)}
    values, wrong = _parse(given)
    missing = [name for name in ("secret", "pepper") if not given[name]]
    if missing and "database_url" in values and values["database_url"].get_backend_name() != "sqlite":
        names = " and ".join(f"CHARTER_{name.upper()}" for name in missing)
        wrong.append(f"{names} must be set with a database that several hosts share; {HOW_TO}")
    if wrong:
        raise ConfigError("\n".join(wrong))
    return Config(**_fill_in(values, missing))


def _parse(given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The values of what was given, and what is wrong with them."""
    values: dict[str, Any] = {}
    wrong = []
    for setting in fields(Config):
        text = given[setting.name]
        try:
            values |= {setting.name: setting.metadata["parse"](text)} if text else {}
        except ValueError as error:
            wrong.append(f"{variable(setting)} must be {error}")
    return values, wrong


def _fill_in(values: dict[str, Any], missing: list[str]) -> dict[str, Any]:
    """The values, and what is made in the data folder for want of a setting."""
    data_dir = values.get("data_dir", Path("data")).absolute()
    made: dict[str, Any] = {"data_dir": data_dir}
    if "database_url" not in values:
        made["database_url"] = URL.create("sqlite", database=str(data_dir / "charter.db"))
    try:
        if missing or "database_url" in made:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        made |= {name: _kept(data_dir / name, (values | made)["database_url"]) for name in missing}
    except OSError as error:
        raise ConfigError(f"CHARTER_DATA_DIR must be a folder to write in: {data_dir}: {error.strerror}") from None
    return values | made


def _kept(file: Path, database_url: URL) -> bytes:
    """The secret in a file of the data folder; a pepper is not made anew for passwords that have one."""
    if file.name == "pepper" and not file.exists() and Path(str(database_url.database)).exists():
        raise ConfigError(f"{file} is gone, and no password is right without it: restore it, or set CHARTER_PEPPER")
    try:
        return keep_secret(file)
    except ValueError as error:
        raise ConfigError(f"{file} must hold {error}") from None
